"""What is refused as an SVID: X509-SVID, section 5, and the certification path of RFC 5280."""

import ipaddress
from collections.abc import Callable
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID
from cryptography.x509.verification import PolicyBuilder, Store
from cryptography.x509.verification import VerificationError as Refused
from tests.unit.identity.forge import (
    DOMAIN,
    LEDGER,
    NOW,
    Pair,
    forge,
    forge_ca,
    make_authority,
    serial,
    uri,
    usage,
)

from meshwarden.identity import TrustBundle, issue_svid, parse_certificates, verify_svid
from meshwarden.kernel import SpiffeId, VerificationError

AUTHORITY = make_authority()
ISSUER: Pair = (AUTHORITY.issuer, AUTHORITY.key)
OTHER = make_authority("evil.example")
MINUTE = timedelta(minutes=1)


def verify(*chain: x509.Certificate) -> SpiffeId:
    return verify_svid(chain, AUTHORITY.bundle, now=NOW)


def refusal_of(*chain: x509.Certificate) -> str:
    with pytest.raises(VerificationError) as refusal:
        verify(*chain)
    return refusal.value.code


def test_an_issued_svid_proves_its_identity() -> None:
    svid = issue_svid(AUTHORITY, SpiffeId.parse(LEDGER), now=NOW, serial=serial())
    chain = parse_certificates(svid.certificate_chain.encode(), where="svid")
    assert verify(*chain) == svid.identity
    assert verify(*chain, *AUTHORITY.bundle.certificates) == svid.identity


def test_the_forge_makes_a_good_svid_unless_told_otherwise() -> None:
    assert str(verify(forge(ISSUER)[0], AUTHORITY.issuer)) == LEDGER


LEAVES: dict[str, tuple[Callable[[], Pair], str]] = {
    "two URI names": (lambda: forge(ISSUER, names=[uri(LEDGER), uri(LEDGER + "2")]), "identity.not_an_svid"),
    "no name": (lambda: forge(ISSUER, names=(), subject="ledger"), "identity.not_an_svid"),
    "only a DNS name": (lambda: forge(ISSUER, names=[x509.DNSName("ledger")]), "identity.not_an_svid"),
    "the root path": (lambda: forge(ISSUER, names=[uri("spiffe://bank.example/")]), "identity.not_an_svid"),
    "no path": (lambda: forge(ISSUER, names=[uri("spiffe://bank.example")]), "identity.not_an_svid"),
    "another scheme": (lambda: forge(ISSUER, names=[uri("https://bank.example/x")]), "identity.not_an_svid"),
    "a port": (lambda: forge(ISSUER, names=[uri("spiffe://bank.example:1/x")]), "identity.not_an_svid"),
    "names not critical": (lambda: forge(ISSUER, names_critical=False), "identity.not_an_svid"),
    "a CA": (lambda: forge(ISSUER, ca=True), "identity.not_an_svid"),
    "no key usage": (lambda: forge(ISSUER, key_usage=None), "identity.not_an_svid"),
    "key usage not critical": (lambda: forge(ISSUER, usage_critical=False), "identity.not_an_svid"),
    "no digitalSignature": (lambda: forge(ISSUER, key_usage=usage("key_agreement")), "identity.not_an_svid"),
    "keyCertSign": (lambda: forge(ISSUER, key_usage=usage("digital_signature", "key_cert_sign")), "identity.not_an_svid"),
    "cRLSign": (lambda: forge(ISSUER, key_usage=usage("digital_signature", "crl_sign")), "identity.not_an_svid"),
    "client purpose only": (lambda: forge(ISSUER, purposes=[ExtendedKeyUsageOID.CLIENT_AUTH]), "identity.not_an_svid"),
    "expired": (lambda: forge(ISSUER, end=NOW - timedelta(seconds=1)), "identity.expired"),
    "not yet valid": (lambda: forge(ISSUER, start=NOW + timedelta(seconds=1)), "identity.not_yet_valid"),
    "unknown critical extension": (lambda: forge(ISSUER, unknown_critical=True), "identity.malformed"),
    "foreign domain": (lambda: forge(ISSUER, names=[uri("spiffe://evil.example/x")]), "identity.untrusted"),
    "a DNS name besides": (lambda: forge(ISSUER, names=[uri(LEDGER), x509.DNSName("a.example")]), "identity.name_constraints"),
    "an address besides": (lambda: forge(ISSUER, names=[uri(LEDGER), x509.IPAddress(ipaddress.ip_address("10.0.0.1"))]), "identity.name_constraints"),
    "a mailbox besides": (lambda: forge(ISSUER, names=[uri(LEDGER), x509.RFC822Name("a@bank.example")]), "identity.name_constraints"),
}  # fmt: skip


@pytest.mark.parametrize("case", LEAVES)
def test_a_leaf_is_refused(case: str) -> None:
    make, code = LEAVES[case]
    assert refusal_of(make()[0], AUTHORITY.issuer) == code


def test_validity_includes_its_first_and_last_second() -> None:
    assert verify(forge(ISSUER, start=NOW)[0], AUTHORITY.issuer)
    assert verify(forge(ISSUER, end=NOW)[0], AUTHORITY.issuer)


def test_name_constraints_hold_where_the_bundle_is_mistaken_for_the_other_domain() -> None:
    leaf, _ = forge(ISSUER, names=[uri("spiffe://evil.example/x")])
    mistaken = TrustBundle(trust_domain="evil.example", certificates=AUTHORITY.bundle.certificates)
    with pytest.raises(VerificationError) as refusal:
        verify_svid([leaf, AUTHORITY.issuer], mistaken, now=NOW)
    assert refusal.value.code == "identity.name_constraints"


def test_a_subdomain_is_another_trust_domain() -> None:
    leaf, _ = forge(ISSUER, names=[uri(f"spiffe://core.{DOMAIN}/x")])
    below = TrustBundle(trust_domain=f"core.{DOMAIN}", certificates=AUTHORITY.bundle.certificates)
    with pytest.raises(VerificationError, match="name constraints"):
        verify_svid([leaf, AUTHORITY.issuer], below, now=NOW)


def test_a_foreign_authority_that_names_our_workload_is_untrusted() -> None:
    leaf, _ = forge((OTHER.issuer, OTHER.key))
    assert refusal_of(leaf, OTHER.issuer) == "identity.untrusted"
    assert refusal_of(leaf, OTHER.issuer, *OTHER.bundle.certificates) == "identity.untrusted"
    assert refusal_of(leaf, AUTHORITY.issuer) == "identity.signature"


def test_a_missing_intermediate_is_untrusted() -> None:
    assert refusal_of(forge(ISSUER)[0]) == "identity.untrusted"


def test_an_empty_bundle_trusts_nothing() -> None:
    empty = TrustBundle(trust_domain=DOMAIN, certificates=())
    with pytest.raises(VerificationError, match="no root"):
        verify_svid([forge(ISSUER)[0], AUTHORITY.issuer], empty, now=NOW)


def test_an_authority_does_not_authenticate() -> None:
    assert refusal_of(AUTHORITY.issuer) == "identity.not_an_svid"
    assert refusal_of() == "identity.untrusted"


def test_a_leaf_signed_by_a_leaf_is_refused() -> None:
    middle = forge(ISSUER, subject="leaf")
    assert refusal_of(forge(middle)[0], middle[0], AUTHORITY.issuer) == "identity.not_a_ca"


def test_a_ca_without_key_cert_sign_is_refused() -> None:
    root = forge_ca(None, "root")
    middle = forge_ca(root, "middle", key_usage=usage("crl_sign"))
    bundle = TrustBundle(trust_domain=DOMAIN, certificates=(root[0],))
    with pytest.raises(VerificationError, match="lacks keyCertSign"):
        verify_svid([forge(middle)[0], middle[0]], bundle, now=NOW)


def test_the_intermediate_may_not_make_another() -> None:
    below = forge_ca(ISSUER, "below")
    leaf, _ = forge(below)
    assert refusal_of(leaf, below[0], AUTHORITY.issuer) == "identity.path_length"


def test_a_path_of_many_certificates_is_refused() -> None:
    leaf, _ = forge(ISSUER)
    assert refusal_of(leaf, *[AUTHORITY.issuer] * 8) == "identity.untrusted"


def test_the_verifier_of_cryptography_refuses_all_uri_constraints() -> None:
    """Why there is a path verification of our own; should this fail, it may no longer be needed."""
    verifier = PolicyBuilder().store(Store(list(AUTHORITY.bundle.certificates))).time(NOW)
    with pytest.raises(Refused, match="unsupported name constraint"):
        verifier.build_client_verifier().verify(forge(ISSUER)[0], [AUTHORITY.issuer])
