"""Certificates for a general identity server, which names its clients by distinguished name."""

import ipaddress
import ssl
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from benchmarks.load import client_context


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """Files: a key with its certificate each, and the root."""

    bundle: Path
    server: Path
    app: Path
    gateway: Path

    def context(self, client: Path) -> ssl.SSLContext:
        """Return what a client connects with."""
        return client_context(str(client), self.bundle.read_text())


def make_keys(directory: Path, *, now: datetime) -> Keys:
    """Write them into `directory`."""
    root_key = ec.generate_private_key(ec.SECP256R1())
    root = _certificate("root", root_key, root_key, "root", now, authority=True)
    bundle = directory / "keycloak-root.pem"
    bundle.write_bytes(root.public_bytes(Encoding.PEM))
    files = {}
    for name in ("server", "app", "gateway"):
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = _certificate(name, key, root_key, "root", now, authority=False)
        files[name] = directory / f"keycloak-{name}.pem"
        files[name].write_bytes(
            key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
            + certificate.public_bytes(Encoding.PEM)
        )
    return Keys(bundle=bundle, **files)


def _certificate(
    name: str,
    key: ec.EllipticCurvePrivateKey,
    signer: ec.EllipticCurvePrivateKey,
    issuer: str,
    now: datetime,
    *,
    authority: bool,
) -> x509.Certificate:
    host = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    return (
        x509.CertificateBuilder()
        .subject_name(_named(name))
        .issuer_name(_named(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([host]), critical=False)
        .sign(signer, hashes.SHA256())
    )


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
