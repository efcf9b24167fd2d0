"""Revocation lists: their form, their times, and who may sign them."""

from datetime import timedelta

import pytest
from cryptography import x509
from tests.unit.identity.forge import DOMAIN, NOW

from meshwarden.identity import (
    MAX_LIFETIME_S,
    Authority,
    create_authority,
    create_root,
    issue_crl,
    signs_crls,
)
from meshwarden.identity.crl import LIFETIME, RENEW_AFTER, RevokedSerial, is_due

SERIAL = 2**100


def authority() -> Authority:
    root = create_root(DOMAIN, now=NOW, serial=SERIAL)
    return create_authority(root, now=NOW, serial=SERIAL + 1)


def issued(by: Authority, *serials: int, number: int = 7) -> x509.CertificateRevocationList:
    revoked = [RevokedSerial(serial=serial, time=NOW) for serial in serials]
    return issue_crl(by, revoked, number=number, now=NOW)


def test_it_lists_what_is_revoked_under_its_issuers_name_and_key() -> None:
    by = authority()
    crl = issued(by, SERIAL + 5, SERIAL + 4, SERIAL + 5)
    assert [one.serial_number for one in crl] == [SERIAL + 4, SERIAL + 5]
    assert crl.issuer == by.issuer.subject
    assert crl.is_signature_valid(by.key.public_key())
    assert crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number == 7
    claimed = crl.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
    own = by.issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    assert claimed.key_identifier == own.digest


def test_it_outlives_the_longest_svid_and_is_renewed_long_before() -> None:
    crl = issued(authority())
    assert crl.next_update_utc is not None
    assert crl.next_update_utc - NOW > timedelta(seconds=MAX_LIFETIME_S)
    assert RENEW_AFTER + timedelta(seconds=MAX_LIFETIME_S) < LIFETIME
    assert crl.last_update_utc < NOW


@pytest.mark.parametrize(
    ("later", "due"),
    [
        (timedelta(0), False),
        (timedelta(hours=23), False),
        (RENEW_AFTER, True),
        (timedelta(seconds=-1), True),  # the clock was set back
        (timedelta(days=-30), True),
    ],
)
def test_it_is_due_after_a_day_or_when_the_clock_was_set_back(later: timedelta, due: bool) -> None:
    assert is_due(issued(authority()), now=NOW + later) is due


def test_our_own_authority_may_sign_lists() -> None:
    assert signs_crls(authority())
