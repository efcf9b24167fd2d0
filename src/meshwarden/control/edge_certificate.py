"""What an edge shows its customers: a certificate of the user's own, from files that may change."""

from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)

from meshwarden.kernel import ConfigError, Node

MAX_FILE_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeCertificate:
    """Where it is: PEM files, absolute; the chain begins with the leaf."""

    certificate: Path
    key: Path


def parse_edge(node: Node | None, directory: Path) -> tuple[int | None, EdgeCertificate | None]:
    """Return an edge's port and certificate: `edge: 8080`, or with both files; InputError."""
    if node is None:
        return None, None
    if not isinstance(node.value, dict):
        return node.integer(1, 65535), None
    fields = node.fields(required=["port", "certificate", "key"])
    files = EdgeCertificate(
        certificate=directory / fields["certificate"].text(), key=directory / fields["key"].text()
    )
    return fields["port"].integer(1, 65535), files


def load_certificate(files: EdgeCertificate) -> tuple[str, str]:
    """Return chain and key (PEM); ConfigError `edge.certificate` where they are no pair."""
    chain, key = _read(files.certificate), _read(files.key)
    try:
        leaf = x509.load_pem_x509_certificates(chain)[0].public_key()
        own = load_pem_private_key(key, None).public_key()
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise _unusable(files, f"no PEM of a chain and an open key: {error}") from error
    shown = [
        one.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo) for one in (leaf, own)
    ]
    if shown[0] != shown[1]:
        raise _unusable(files, "the key is not the certificate's")
    return chain.decode("latin-1"), key.decode("latin-1")


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ConfigError("edge.certificate", f"{path} cannot be read: {error.strerror}") from error
    if len(raw) > MAX_FILE_BYTES:
        raise ConfigError("edge.certificate", f"{path} is longer than {MAX_FILE_BYTES} bytes")
    return raw


def _unusable(files: EdgeCertificate, why: str) -> ConfigError:
    return ConfigError("edge.certificate", f"{files.certificate} and {files.key}: {why}")
