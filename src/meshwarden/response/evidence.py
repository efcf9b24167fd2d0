"""What an archive of evidence holds, signed: name, size and SHA-256 of every file, and what is not.

An archive is complete when its manifest is: the signature covers the manifest, the manifest covers
every file. The manifest's own digest goes into the incident's chained record, so that an archive
that somebody made anew, with a key of his own, does not pass for the one that was taken.
"""

import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from meshwarden.kernel import InputError, VerificationError

MAX_MANIFEST_BYTES: Final = 8 * 1024**2
_FORMAT: Final = "meshwarden.dev/evidence/v1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """One file of an archive: octets and SHA-256 in hexadecimal."""

    name: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Dropped:
    """What was not kept, and why: too large for what was left, refused, not possible here."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What one archive holds.

    Attributes:
        incident: whose evidence it is.
        suspect: the SPIFFE ID.
        taken: nanoseconds since the epoch, UTC.
        salt: hexadecimal; secrets in environments stand as SHA-256 of salt and value.
        kept: every file but the manifest and its signature.
        dropped: what is not there.
        key: the public key that the signature is by, hexadecimal (Ed25519, raw).
    """

    incident: str
    suspect: str
    taken: int
    salt: str
    kept: tuple[Kept, ...]
    dropped: tuple[Dropped, ...]
    key: str


def public_key_of(key: Ed25519PrivateKey) -> str:
    """Return the public half as hexadecimal."""
    return key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw).hex()


def render_manifest(manifest: Manifest) -> bytes:
    """Return the octets that are signed."""
    return json.dumps({"format": _FORMAT} | asdict(manifest), sort_keys=True, indent=1).encode()


def parse_manifest(raw: bytes) -> Manifest:
    """Return the manifest that `raw` spells; InputError `evidence.manifest` where there is none."""
    if len(raw) > MAX_MANIFEST_BYTES:
        raise _malformed(f"longer than {MAX_MANIFEST_BYTES} bytes")
    try:
        found = json.loads(raw)
        if found.pop("format") != _FORMAT:
            raise _malformed("of another format")
        kept = tuple(Kept(**one) for one in found.pop("kept"))
        dropped = tuple(Dropped(**one) for one in found.pop("dropped"))
        manifest = Manifest(kept=kept, dropped=dropped, **found)
        bytes.fromhex(manifest.key)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _malformed("malformed") from error
    return manifest


def digest_of(manifest: bytes) -> str:
    """Return what the incident's record keeps of a manifest."""
    return hashlib.sha256(manifest).hexdigest()


def verify_manifest(
    raw: bytes, signature: bytes, *, key: str | None = None, digest: str | None = None
) -> Manifest:
    """Return the manifest once its signature holds.

    Args:
        raw: the manifest's octets.
        signature: Ed25519, raw.
        key: the public key that it must be by, hexadecimal; None trusts the one it names, which
            shows damage but not who signed.
        digest: what the incident's record says of it; None where that is not at hand.

    Raises:
        InputError: `evidence.manifest`.
        VerificationError: `evidence.signature`, `evidence.key` or `evidence.digest`.
    """
    manifest = parse_manifest(raw)
    if key is not None and not hmac.compare_digest(manifest.key, key):
        raise VerificationError(
            "evidence.key", "the archive is signed by another key than expected"
        )
    if digest is not None and not hmac.compare_digest(digest_of(raw), digest):
        raise VerificationError(
            "evidence.digest", "this is not the archive that the incident's record names"
        )
    try:
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(manifest.key)).verify(signature, raw)
    except (InvalidSignature, ValueError) as error:
        raise VerificationError(
            "evidence.signature", "the manifest's signature does not hold"
        ) from error
    return manifest


def verify_kept(manifest: Manifest, found: Mapping[str, tuple[int, str]]) -> None:
    """Return where `found` (size and SHA-256 by name) is exactly what `manifest` names.

    Raises:
        VerificationError: `evidence.content`, naming the first file that differs.
    """
    named = {one.name: (one.size, one.sha256) for one in manifest.kept}
    for name in sorted(named.keys() | found.keys()):
        if name not in found:
            raise VerificationError("evidence.content", f"{name} is missing")
        if name not in named:
            raise VerificationError("evidence.content", f"{name} is not in the manifest")
        size, sha256 = found[name]
        if named[name][0] != size or not hmac.compare_digest(named[name][1], sha256):
            raise VerificationError("evidence.content", f"{name} is not what was taken")


def _malformed(why: str) -> InputError:
    return InputError("evidence.manifest", f"it is {why}", where="manifest.json")
