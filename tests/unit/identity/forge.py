"""Certificates that our own authority would never issue, signed with its keys."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

from meshwarden.identity import Authority, create_authority, create_root
from meshwarden.identity.model import PrivateKey

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
DOMAIN = "bank.example"
LEDGER = "spiffe://bank.example/ns/core/sa/ledger"
BOTH = (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH)
Pair = tuple[x509.Certificate, PrivateKey]


def serial() -> int:
    return x509.random_serial_number()


def make_authority(trust_domain: str = DOMAIN, *, now: datetime = NOW) -> Authority:
    root = create_root(trust_domain, now=now, serial=serial())
    return create_authority(root, now=now, serial=serial())


def uri(text: str) -> x509.UniformResourceIdentifier:
    return x509.UniformResourceIdentifier(text)


def name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)] if text else [])


def usage(*names: str) -> x509.KeyUsage:
    flags = [
        "digital_signature", "content_commitment", "key_encipherment", "data_encipherment",
        "key_agreement", "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
    ]  # fmt: skip
    return x509.KeyUsage(**{flag: flag in names for flag in flags})


def forge(
    issuer: Pair | None,
    *,
    names: Sequence[x509.GeneralName] = (uri(LEDGER),),
    names_critical: bool = True,
    subject: str = "",
    ca: bool | None = False,
    path_length: int | None = None,
    key_usage: x509.KeyUsage | None = usage("digital_signature"),  # noqa: B008
    usage_critical: bool = True,
    purposes: Iterable[ObjectIdentifier] = BOTH,
    constraints: x509.NameConstraints | None = None,
    unknown_critical: bool = False,
    start: datetime = NOW - timedelta(minutes=1),
    end: datetime = NOW + timedelta(hours=1),
    key: PrivateKey | None = None,
) -> Pair:
    """Return a certificate and its key; without an issuer it signs itself."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    signer = issuer[1] if issuer else key
    builder = (
        x509.CertificateBuilder()
        .subject_name(name(subject))
        .issuer_name(issuer[0].subject if issuer else name(subject))
        .public_key(key.public_key())
        .serial_number(serial())
        .not_valid_before(start)
        .not_valid_after(end)
    )
    if ca is not None:
        builder = builder.add_extension(x509.BasicConstraints(ca, path_length), critical=True)
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=names_critical)
    if key_usage:
        builder = builder.add_extension(key_usage, critical=usage_critical)
    if purposes:
        builder = builder.add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
    if constraints:
        builder = builder.add_extension(constraints, critical=True)
    if unknown_critical:
        one = x509.UnrecognizedExtension(ObjectIdentifier("1.3.6.1.4.1.55555.1"), b"\x05\x00")
        builder = builder.add_extension(one, critical=True)
    identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key())
    builder = builder.add_extension(identifier, critical=False)
    return builder.sign(signer, hashes.SHA256()), key


def forge_ca(issuer: Pair | None, subject: str, **more: object) -> Pair:
    """Return a CA; `more` as for `forge`."""
    settings: dict[str, object] = {
        "ca": True,
        "names": (),
        "purposes": (),
        "key_usage": usage("key_cert_sign", "crl_sign"),
        "start": NOW - timedelta(days=1),
        "end": NOW + timedelta(days=30),
    }
    return forge(issuer, subject=subject, **(settings | more))  # type: ignore[arg-type]


def pem(*certificates: x509.Certificate) -> bytes:
    return b"".join(one.public_bytes(Encoding.PEM) for one in certificates)


def key_pem(key: PrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
