"""The certificate that the API server sees at our webhook: a CA for one DNS name, and leaves of it.

The mesh's authority may name workloads of its trust domain and no hosts at all, and stays so. The
webhook has an authority of its own, limited by a critical name constraint to the one service name
that the API server calls; its root is the webhook configuration's `caBundle`.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from meshwarden.identity.model import render_certificates
from meshwarden.identity.pem import render_private_key
from meshwarden.identity.secret import Secret

CA_LIFETIME: Final = timedelta(days=3650)
LIFETIME: Final = timedelta(hours=24)
BACKDATE: Final = timedelta(minutes=5)
"""For clocks that differ between our machine and the API server's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookAuthority:
    """The CA of one DNS name."""

    name: str
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerCertificate:
    """A leaf with its chain and key (PEM), and when to have replaced it."""

    certificate_chain: str
    private_key: Secret
    renew_at: datetime
    not_after: datetime


def create_webhook_authority(name: str, *, now: datetime, serial: int) -> WebhookAuthority:
    """Return a new CA that may issue for the DNS name `name` alone."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "meshwarden admission")])
    constraints = x509.NameConstraints(
        permitted_subtrees=[x509.DNSName(name)], excluded_subtrees=None
    )
    certificate = (
        _builder(subject, subject, key.public_key(), serial=serial)
        .not_valid_before(now - BACKDATE)
        .not_valid_after(now + CA_LIFETIME)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(constraints, critical=True)
        .add_extension(_usage(ca=True), critical=True)
        .sign(key, hashes.SHA256())
    )
    return WebhookAuthority(name=name, certificate=certificate, key=key)


def issue_server(authority: WebhookAuthority, *, now: datetime, serial: int) -> ServerCertificate:
    """Return a fresh certificate for the authority's name, to be replaced at half its life."""
    key = ec.generate_private_key(ec.SECP256R1())
    not_after = min(now + LIFETIME, authority.certificate.not_valid_after_utc)
    certificate = (
        _builder(x509.Name([]), authority.certificate.subject, key.public_key(), serial=serial)
        .not_valid_before(now - BACKDATE)
        .not_valid_after(not_after)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(authority.name)]), critical=True)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(_usage(ca=False), critical=True)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key()),
            critical=False,
        )
        .sign(authority.key, hashes.SHA256())
    )
    return ServerCertificate(
        certificate_chain=render_certificates((certificate,)),
        private_key=render_private_key(key),
        renew_at=now + (not_after - now) / 2,
        not_after=not_after,
    )


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, *, serial: int
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(serial)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _usage(*, ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True, content_commitment=False, key_encipherment=False,
        data_encipherment=False, key_agreement=False, key_cert_sign=ca, crl_sign=ca,
        encipher_only=False, decipher_only=False,
    )  # fmt: skip
