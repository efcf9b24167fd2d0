"""The form of what the authority makes: X509-SVID, sections 2 to 4."""

from datetime import timedelta

import pytest
from cryptography import x509
from tests.unit.identity.forge import BOTH, DOMAIN, LEDGER, NOW, make_authority, serial

from meshwarden.identity import create_root, issue_svid, parse_certificates
from meshwarden.identity.model import Svid
from meshwarden.kernel import ConfigError, SpiffeId, StateError

AUTHORITY = make_authority()
IDENTITY = SpiffeId.parse(LEDGER)


def issue(**more: object) -> Svid:
    settings = {"now": NOW, "serial": serial()} | more
    return issue_svid(AUTHORITY, IDENTITY, **settings)  # type: ignore[arg-type]


def leaf_of(svid: Svid) -> x509.Certificate:
    return parse_certificates(svid.certificate_chain.encode(), where="svid")[0]


def test_a_leaf_is_an_x509_svid() -> None:
    number = serial()
    svid = issue(serial=number)
    leaf, intermediate = parse_certificates(svid.certificate_chain.encode(), where="svid")
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    usage = leaf.extensions.get_extension_for_class(x509.KeyUsage)
    assert names.critical
    assert list(names.value) == [x509.UniformResourceIdentifier(LEDGER)]
    assert not leaf.subject.rdns
    assert usage.critical
    assert usage.value.digital_signature
    assert not usage.value.key_cert_sign
    assert not usage.value.crl_sign
    assert tuple(leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == BOTH
    assert not leaf.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert leaf.serial_number == svid.serial == number
    assert intermediate == AUTHORITY.issuer


def test_key_identifiers_link_leaf_intermediate_and_root() -> None:
    leaf = leaf_of(issue())
    for child, issuer in (
        (leaf, AUTHORITY.issuer),
        (AUTHORITY.issuer, AUTHORITY.bundle.certificates[0]),
    ):
        theirs = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        claimed = child.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
        assert claimed.key_identifier == theirs.digest


def test_it_lives_an_hour_and_starts_a_minute_back() -> None:
    svid = issue(now=NOW + timedelta(microseconds=1))
    assert svid.not_before == NOW - timedelta(seconds=60)
    assert svid.not_after == NOW + timedelta(hours=1)
    assert svid.issued_at == NOW
    assert leaf_of(svid).not_valid_after_utc == svid.not_after


def test_it_never_outlives_its_issuer() -> None:
    late = AUTHORITY.not_after - timedelta(seconds=30)
    assert issue(now=late).not_after == AUTHORITY.not_after


@pytest.mark.parametrize("jump", [timedelta(days=-3), timedelta(days=366), timedelta(days=4000)])
def test_a_clock_outside_the_authoritys_life_issues_nothing(jump: timedelta) -> None:
    with pytest.raises(StateError, match="check the clock") as refusal:
        issue(now=NOW + jump)
    assert refusal.value.code == "identity.authority_not_valid"


def test_each_issuance_has_a_fresh_key() -> None:
    assert issue().private_key.reveal() != issue().private_key.reveal()


@pytest.mark.parametrize("bits", [0, 1, 63, 160])
def test_a_serial_of_the_wrong_size_is_refused(bits: int) -> None:
    with pytest.raises(ConfigError, match="random bits"):
        issue(serial=(1 << bits) - 1)


@pytest.mark.parametrize("lifetime_s", [0, -1, 86_401])
def test_a_lifetime_out_of_range_is_refused(lifetime_s: int) -> None:
    with pytest.raises(ConfigError, match="lives 1 to 86400 seconds"):
        issue(lifetime_s=lifetime_s)


def test_an_identity_of_another_domain_is_refused() -> None:
    with pytest.raises(ConfigError, match="issues nothing for spiffe://evil"):
        issue_svid(AUTHORITY, SpiffeId.parse("spiffe://evil.example/x"), now=NOW, serial=serial())


def test_the_private_key_prints_as_stars() -> None:
    svid = issue()
    shown = f"{svid!r} {svid.private_key} {svid.private_key:>9} {[svid.private_key]} {AUTHORITY!r}"
    assert "PRIVATE KEY" not in shown
    assert "*****" in shown


@pytest.mark.parametrize("depth", [0, 1])
def test_each_ca_is_limited_to_its_trust_domain(depth: int) -> None:
    certificate = (AUTHORITY.issuer, AUTHORITY.bundle.certificates[0])[depth]
    basic = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    usage = certificate.extensions.get_extension_for_class(x509.KeyUsage)
    constraints = certificate.extensions.get_extension_for_class(x509.NameConstraints)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert (basic.critical, basic.value.path_length) == (True, depth)
    assert (usage.critical, usage.value.key_cert_sign, usage.value.digital_signature) == (
        True,
        True,
        False,
    )
    assert constraints.critical
    assert x509.UniformResourceIdentifier(DOMAIN) in (constraints.value.permitted_subtrees or ())
    assert list(names) == [x509.UniformResourceIdentifier(f"spiffe://{DOMAIN}")]


@pytest.mark.parametrize("domain", ["10.0.0.1", ".bank.example"])
def test_a_domain_that_no_constraint_can_mean_is_refused(domain: str) -> None:
    with pytest.raises(ConfigError, match="can be limited to the trust domain"):
        create_root(domain, now=NOW, serial=serial())
