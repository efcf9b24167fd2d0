"""The certificate authority of one trust domain: made by us, or brought by the user.

Ours is a root and an intermediate, ECDSA on P-256, both limited to the trust domain by critical
name constraints; each carries the trust domain's SPIFFE ID without a path (X509-SVID, 3.2). The
root signs intermediates alone, so its key can be taken off the machine; replacing the intermediate
changes nothing for peers, which trust the root.

What the user brings is a CA certificate with its chain up to a self-signed root, and the key. It
signs SVIDs itself, since its path length may not allow an intermediate.

Places of what follows: a revocation list is signed with `Authority.key` (the certificates allow
cRLSign); attestation decides who may ask for which identity before `issue` is called.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from meshwarden.identity.constraints import build_name_constraints, permits_name
from meshwarden.identity.model import Authority, PrivateKey, Root, TrustBundle
from meshwarden.identity.path import describe, extension, verify_path, verify_signing
from meshwarden.identity.pem import parse_certificates, parse_private_key
from meshwarden.kernel import ConfigError, VerificationError

ROOT_LIFETIME: Final = timedelta(days=3650)
"""Peers hold the root; replacing it means telling all of them. A root that outlives its use costs
little while its key is kept apart."""

INTERMEDIATE_LIFETIME: Final = timedelta(days=365)
"""Its key is on line. No SVID outlives it: below some days, SVIDs get shorter towards its end."""

CA_BACKDATE: Final = timedelta(days=1)
"""How far a CA's `not_before` lies before its making: wrong clocks on other machines are not worth
refusing a whole mesh for."""

MIN_SERIAL_BITS, MAX_SERIAL_BITS = 64, 159  # RFC 5280, 4.1.2.2: 20 octets, positive
_USAGES = {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH}


def create_root(trust_domain: str, *, now: datetime, serial: int) -> Root:
    """Return a new root for `trust_domain`.

    Args:
        trust_domain: a valid trust domain name.
        now: the time of day.
        serial: random, 64 to 159 bits.

    Raises:
        ConfigError: `identity.trust_domain` where no name constraint can mean just this domain.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name("root", serial)
    builder = _ca_builder(trust_domain, name, key, serial=serial, path_length=1)
    certificate = (
        builder.issuer_name(name)
        .not_valid_before(now - CA_BACKDATE)
        .not_valid_after(now + ROOT_LIFETIME)
        .sign(key, hashes.SHA256())
    )
    return Root(trust_domain=trust_domain, certificate=certificate, key=key)


def create_authority(root: Root, *, now: datetime, serial: int) -> Authority:
    """Return an authority with a new intermediate under `root`; `serial` as for the root.

    Raises:
        VerificationError: `identity.expired` or `identity.not_yet_valid` where the root is.
    """
    verify_path([root.certificate], [root.certificate], now=now)
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name("intermediate", serial)
    builder = _ca_builder(root.trust_domain, name, key, serial=serial, path_length=0)
    certificate = (
        builder.issuer_name(root.certificate.subject)
        .not_valid_before(now - CA_BACKDATE)
        .not_valid_after(min(now + INTERMEDIATE_LIFETIME, root.certificate.not_valid_after_utc))
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(root.key.public_key()),
            critical=False,
        )
        .sign(root.key, hashes.SHA256())
    )
    return Authority(
        trust_domain=root.trust_domain,
        issuer=certificate,
        intermediates=(certificate,),
        bundle=TrustBundle(trust_domain=root.trust_domain, certificates=(root.certificate,)),
        key=key,
    )


def verify_authority(
    trust_domain: str,
    *,
    unverified_certificates: bytes,
    unverified_key: bytes,
    now: datetime,
    where: str,
) -> Authority:
    """Return the authority that a certificate, its chain and a key make, once all of it holds.

    Args:
        trust_domain: the domain that it shall issue for.
        unverified_certificates: PEM, the issuing certificate first, then its chain up to and
            including the self-signed root.
        unverified_key: PEM, the issuing certificate's private key.
        now: the time of day.
        where: what to call the input in messages, a file's name.

    Raises:
        InputError: `identity.pem`, `identity.key_pem`, `identity.key_kind`: unreadable input.
        VerificationError: `identity.key_mismatch`, `identity.no_root`, `identity.foreign_authority`
            or a code of `verify_path`: the input does not make an authority for this domain.
    """
    path = parse_certificates(unverified_certificates, where=where)
    key = parse_private_key(unverified_key, where=where)
    verify_key(path[0], key)
    if path[-1].issuer != path[-1].subject:
        raise VerificationError(
            "identity.no_root",
            f"the chain ends at {describe(path[-1])}, which is not self-signed",
            hint="append the certificates up to and including the root",
        )
    path = verify_path(path, path[-1:], now=now)
    for below, certificate in enumerate(path):
        verify_signing(certificate, below=below)
        _verify_purpose(certificate)
        _verify_domain(certificate, trust_domain)
        _verify_constraints(certificate, trust_domain)
    return Authority(
        trust_domain=trust_domain,
        issuer=path[0],
        intermediates=path[:-1],
        bundle=TrustBundle(trust_domain=trust_domain, certificates=path[-1:]),
        key=key,
    )


def verify_key(certificate: x509.Certificate, key: PrivateKey) -> None:
    """Raise VerificationError `identity.key_mismatch` where the key is not the certificate's."""
    if certificate.public_key() != key.public_key():
        raise VerificationError(
            "identity.key_mismatch",
            f"the private key does not belong to {describe(certificate)}",
            hint="bring the key that the certificate was issued for",
        )


def require_serial(serial: int) -> int:
    """Return `serial`; ConfigError `identity.serial` where its size is not allowed."""
    if not MIN_SERIAL_BITS <= serial.bit_length() <= MAX_SERIAL_BITS:
        raise ConfigError(
            "identity.serial",
            f"a serial number has {MIN_SERIAL_BITS} to {MAX_SERIAL_BITS} random bits,"
            f" not {serial.bit_length()}",
        )
    return serial


def _name(role: str, serial: int) -> x509.Name:
    # Part of the serial number keeps the names of successive authorities apart: verifiers look for
    # an issuer by its name.
    text = f"meshwarden {role} {f'{serial:x}'[:16]}"
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _ca_builder(
    trust_domain: str,
    subject: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    *,
    serial: int,
    path_length: int,
) -> x509.CertificateBuilder:
    usage = x509.KeyUsage(
        digital_signature=False, content_commitment=False, key_encipherment=False,
        data_encipherment=False, key_agreement=False, key_cert_sign=True, crl_sign=True,
        encipher_only=False, decipher_only=False,
    )  # fmt: skip
    identity = x509.UniformResourceIdentifier(f"spiffe://{trust_domain}")
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .public_key(key.public_key())
        .serial_number(require_serial(serial))
        .add_extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(build_name_constraints(trust_domain), critical=True)
        .add_extension(x509.SubjectAlternativeName([identity]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _verify_purpose(certificate: x509.Certificate) -> None:
    """Refuse a CA whose extended key usage shuts out TLS peers; X509-SVID, 4.4."""
    usage = extension(certificate, x509.ExtendedKeyUsage)
    if usage is None or ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE in usage:
        return
    if not set(usage) >= _USAGES:
        raise VerificationError(
            "identity.foreign_authority",
            f"{describe(certificate)} may not issue for TLS servers and clients",
            hint="its extendedKeyUsage needs serverAuth and clientAuth, or none at all",
        )


def _verify_constraints(certificate: x509.Certificate, trust_domain: str) -> None:
    """Refuse a CA whose name constraints exclude the trust domain; RFC 5280, 4.2.1.10."""
    constraints = extension(certificate, x509.NameConstraints)
    workload = x509.UniformResourceIdentifier(f"spiffe://{trust_domain}/workload")
    if constraints is not None and not permits_name(constraints, workload):
        raise VerificationError(
            "identity.foreign_authority",
            f"the name constraints of {describe(certificate)} exclude {trust_domain}",
            hint="bring the authority of this trust domain, or name its domain in the policy",
        )


def _verify_domain(certificate: x509.Certificate, trust_domain: str) -> None:
    """Refuse a CA that is itself named for something else; X509-SVID, 3.2."""
    names = extension(certificate, x509.SubjectAlternativeName)
    uris: Sequence[str] = names.get_values_for_type(x509.UniformResourceIdentifier) if names else []
    if uris and list(uris) != [f"spiffe://{trust_domain}"]:
        raise VerificationError(
            "identity.foreign_authority",
            f"{describe(certificate)} is the authority of {', '.join(uris)[:120]},"
            f" not of spiffe://{trust_domain}",
            hint="bring the authority of this trust domain, or name its domain in the policy",
        )
