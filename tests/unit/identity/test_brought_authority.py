"""A certificate and key that the user brings: what makes an authority and what does not."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import ExtendedKeyUsageOID
from tests.unit.identity.forge import (
    DOMAIN,
    LEDGER,
    NOW,
    Pair,
    forge,
    forge_ca,
    key_pem,
    make_authority,
    pem,
    serial,
    uri,
    usage,
)

from meshwarden.identity import (
    Authority,
    issue_svid,
    parse_certificates,
    verify_authority,
    verify_svid,
)
from meshwarden.kernel import InputError, SpiffeId, VerificationError

ROOT = forge_ca(None, "corporate root")


def bring(*chain: x509.Certificate, key: bytes) -> Authority:
    return verify_authority(
        DOMAIN, unverified_certificates=pem(*chain), unverified_key=key, now=NOW, where="ca.pem"
    )


def bring_below(issuer: Pair) -> Authority:
    return bring(issuer[0], ROOT[0], key=key_pem(issuer[1]))


@pytest.mark.parametrize(
    "key",
    [ec.generate_private_key(ec.SECP384R1()), rsa.generate_private_key(65537, 2048)],
    ids=["P-384", "RSA"],
)
def test_a_brought_root_issues_svids_itself(key: ec.EllipticCurvePrivateKey) -> None:
    root = forge_ca(None, "corporate", key=key, path_length=0)
    authority = bring(root[0], key=key_pem(key))
    svid = issue_svid(authority, SpiffeId.parse(LEDGER), now=NOW, serial=serial())
    chain = parse_certificates(svid.certificate_chain.encode(), where="svid")
    assert len(chain) == 1
    assert str(verify_svid(chain, authority.bundle, now=NOW)) == LEDGER


def test_a_brought_intermediate_sends_its_chain_without_the_root() -> None:
    middle = forge_ca(ROOT, "middle")
    below = forge_ca(middle, "below", path_length=0)
    authority = bring(below[0], middle[0], ROOT[0], key=key_pem(below[1]))
    svid = issue_svid(authority, SpiffeId.parse(LEDGER), now=NOW, serial=serial())
    chain = parse_certificates(svid.certificate_chain.encode(), where="svid")
    assert [one.subject for one in chain[1:]] == [below[0].subject, middle[0].subject]
    assert authority.bundle.certificates == (ROOT[0],)


REFUSED: dict[str, tuple[Callable[[], Pair], str]] = {
    "no CA": (lambda: forge(ROOT), "identity.not_a_ca"),
    "no keyCertSign": (lambda: forge_ca(ROOT, "x", key_usage=usage("crl_sign")), "identity.not_a_ca"),
    "expired": (lambda: forge_ca(ROOT, "x", end=NOW - timedelta(days=1) / 2), "identity.expired"),
    "not yet valid": (lambda: forge_ca(ROOT, "x", start=NOW + timedelta(days=1)), "identity.not_yet_valid"),
    "constrained to another domain": (
        lambda: forge_ca(ROOT, "x", constraints=x509.NameConstraints([uri("other.example")], None)),
        "identity.foreign_authority",
    ),
    "our domain excluded": (
        lambda: forge_ca(ROOT, "x", constraints=x509.NameConstraints(None, [uri(DOMAIN)])),
        "identity.foreign_authority",
    ),
    "named for another domain": (
        lambda: forge_ca(ROOT, "x", names=[uri("spiffe://other.example")]),
        "identity.foreign_authority",
    ),
    "named for a workload": (lambda: forge_ca(ROOT, "x", names=[uri(LEDGER)]), "identity.foreign_authority"),
    "for servers only": (
        lambda: forge_ca(ROOT, "x", purposes=[ExtendedKeyUsageOID.SERVER_AUTH]),
        "identity.foreign_authority",
    ),
    "of another root": (lambda: forge_ca(forge_ca(None, "corporate root"), "x"), "identity.signature"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_it_is_refused(case: str) -> None:
    make, code = REFUSED[case]
    with pytest.raises(VerificationError) as refusal:
        bring_below(make())
    assert refusal.value.code == code


def test_a_parent_that_excludes_the_domain_refuses_the_whole_chain() -> None:
    only_other = x509.NameConstraints([uri("other.example")], None)
    root = forge_ca(None, "root", constraints=only_other)
    below = forge_ca(root, "below")
    with pytest.raises(VerificationError, match=r"exclude bank\.example"):
        bring(below[0], root[0], key=key_pem(below[1]))


def test_a_key_of_another_certificate_is_refused() -> None:
    with pytest.raises(VerificationError, match="does not belong to"):
        bring(ROOT[0], key=key_pem(forge_ca(None, "x")[1]))


def test_a_chain_without_its_root_is_refused() -> None:
    middle = forge_ca(ROOT, "middle")
    with pytest.raises(VerificationError, match="append the certificates up to"):
        bring(middle[0], key=key_pem(middle[1]))


def test_a_root_that_allows_no_authority_below_is_refused() -> None:
    root = forge_ca(None, "root", path_length=0)
    below = forge_ca(root, "below")
    with pytest.raises(VerificationError) as refusal:
        bring(below[0], root[0], key=key_pem(below[1]))
    assert refusal.value.code == "identity.path_length"


@pytest.mark.parametrize(
    "raw", [b"", b"nonsense", b"-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n"]
)
def test_unreadable_certificates_are_named(raw: bytes) -> None:
    with pytest.raises(InputError, match=r"ca\.pem: holds no readable certificate"):
        verify_authority(
            DOMAIN, unverified_certificates=raw, unverified_key=b"", now=NOW, where="ca.pem"
        )


def test_unusable_keys_are_named() -> None:
    locked = ROOT[1].private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x"))
    edwards = ed25519.Ed25519PrivateKey.generate().private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    )
    for key, why in ((b"", "no readable"), (locked, "is encrypted"), (edwards, "not accepted")):
        with pytest.raises(InputError, match=why):
            bring(ROOT[0], key=key)


def test_our_own_authority_passes_its_own_verification() -> None:
    ours = make_authority()
    found = bring(ours.issuer, *ours.bundle.certificates, key=key_pem(ours.key))
    assert (found.issuer, found.intermediates, found.bundle) == (
        ours.issuer,
        ours.intermediates,
        ours.bundle,
    )
