"""The key that signs archives of evidence: one file that only its user can open."""

import os
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from meshwarden.adapters.storage.durable import write_whole
from meshwarden.kernel import DependencyError, StateError


def load_or_create_key(path: Path) -> Ed25519PrivateKey:
    """Return the key in the file `path`, made where there is none.

    Raises:
        StateError: `evidence.key` where the file holds no such key.
        DependencyError: `evidence.write` where it can be neither read nor written.
    """
    try:
        if path.exists():
            return _parse(path)
        key = Ed25519PrivateKey.generate()
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        write_whole(path, lambda draft: _store(draft, pem))
    except OSError as error:
        raise DependencyError("evidence.write", f"{path}: {error.strerror}") from error
    return key


def _parse(path: Path) -> Ed25519PrivateKey:
    try:
        found = load_pem_private_key(path.read_bytes(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise StateError("evidence.key", f"{path} holds no key") from error
    if not isinstance(found, Ed25519PrivateKey):
        raise StateError("evidence.key", f"{path} holds no Ed25519 key")
    return found


def _store(draft: Path, pem: bytes) -> None:
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(pem)
