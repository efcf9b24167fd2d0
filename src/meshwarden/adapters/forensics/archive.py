"""One tar archive of evidence: files, `manifest.json`, `manifest.sig`; within a size.

What is offered first is the most valuable; what does not fit any more is named in the manifest as
dropped, with the reason. Hashes are of what was written. The archive gets its name when it is
complete: a process that is killed meanwhile leaves a hidden draft that the next one overwrites.
"""

import contextlib
import hashlib
import io
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final, Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from meshwarden.kernel import DependencyError, InputError
from meshwarden.response.evidence import (
    MAX_MANIFEST_BYTES,
    Dropped,
    Kept,
    Manifest,
    digest_of,
    public_key_of,
    render_manifest,
    verify_kept,
    verify_manifest,
)

MANIFEST: Final = "manifest.json"
SIGNATURE: Final = "manifest.sig"
_BLOCK: Final = 1 << 20
_SYNCED_BYTES: Final = 8 << 20
_HEADER: Final = 1024  # what tar adds to a file, at most, for the names that are used here


class ArchiveWriter:
    """An archive that is being written.

    Args:
        path: what it will be called.
        max_bytes: octets that it may hold, headers included.
    """

    def __init__(self, path: Path, *, max_bytes: int) -> None:
        self.path = path
        self._draft = path.with_name(f".{path.name}.draft")
        self._left = max_bytes
        self._kept: list[Kept] = []
        self._dropped: list[Dropped] = []

    def __enter__(self) -> Self:
        try:
            self._draft.unlink(missing_ok=True)
            descriptor = os.open(self._draft, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
            self._file = io.BufferedWriter(_Steady(descriptor, "wb"))  # type: ignore[type-var]  # a FileIO is one
        except OSError as error:
            raise _failed(self.path, error) from error
        self._tar = tarfile.TarFile(
            fileobj=self._file, mode="w", format=tarfile.PAX_FORMAT, copybufsize=_BLOCK
        )
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):  # what it still holds is not wanted, or was written
            self._file.close()
        self._draft.unlink(missing_ok=True)

    @property
    def left(self) -> int:
        """How many octets still fit."""
        return max(0, self._left - 2 * _HEADER)

    def add(self, name: str, content: bytes) -> None:
        """Keep `content`, or note that it does not fit."""
        self._add(name, io.BytesIO(content), len(content))

    def add_file(self, name: str, path: Path) -> None:
        """Keep the regular file `path` as it is now, or note why not; links are not followed."""
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError as error:
            self.drop(name, error.strerror or "unreadable")
            return
        with os.fdopen(descriptor, "rb") as file:
            self._add(name, file, os.fstat(descriptor).st_size)

    def drop(self, name: str, reason: str) -> None:
        """Note that `name` is not kept."""
        self._dropped.append(Dropped(name=name, reason=reason))

    def finish(
        self, *, incident: str, suspect: str, taken: int, salt: bytes, key: Ed25519PrivateKey
    ) -> str:
        """Sign and name the archive; return the digest of its manifest.

        Raises:
            DependencyError: `evidence.write`.
        """
        manifest = Manifest(
            incident=incident,
            suspect=suspect,
            taken=taken,
            salt=salt.hex(),
            kept=tuple(self._kept),
            dropped=tuple(self._dropped),
            key=public_key_of(key),
        )
        raw = render_manifest(manifest)
        try:
            self._write(MANIFEST, io.BytesIO(raw), len(raw))
            signature = key.sign(raw)
            self._write(SIGNATURE, io.BytesIO(signature), len(signature))
            self._tar.close()
            self._file.flush()
            os.fsync(self._file.fileno())
            self._draft.replace(self.path)
        except OSError as error:
            raise _failed(self.path, error) from error
        return digest_of(raw)

    def _add(self, name: str, content: IO[bytes], size: int) -> None:
        if size + _HEADER > self.left:
            self.drop(name, f"{size} bytes, {self.left} left")
            return
        try:
            self._kept.append(Kept(name=name, size=size, sha256=self._write(name, content, size)))
        except OSError as error:
            raise _failed(self.path, error) from error
        self._left -= size + _HEADER

    def _write(self, name: str, content: IO[bytes], size: int) -> str:
        header = tarfile.TarInfo(name)
        header.size, header.mode = size, 0o600
        hashing = _Hashing(content, size)
        self._tar.addfile(header, hashing)
        return hashing.sha256.hexdigest()


class _Steady(io.FileIO):
    """A file that reaches the disk piece by piece.

    Hundreds of megabytes at once hold up every other write on that disk, for a third of a second
    and more: that of a customer's transaction among them, for which an edge waits.
    """

    _waiting = 0

    def write(self, data: bytes, /) -> int:  # type: ignore[override]  # what tar writes
        written = super().write(data)
        self._waiting += written
        if self._waiting >= _SYNCED_BYTES:
            os.fdatasync(self.fileno())
            self._waiting = 0
        return written


class _Hashing(io.RawIOBase):
    """Reads exactly `size` octets, hashing them: a file that shrinks meanwhile ends in zeros."""

    def __init__(self, content: IO[bytes], size: int) -> None:
        super().__init__()
        self._content = content
        self._left = size
        self.sha256 = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        wanted = self._left if size < 0 else min(size, self._left)
        chunk = self._content.read(wanted)
        chunk += bytes(wanted - len(chunk))
        self._left -= len(chunk)
        self.sha256.update(chunk)
        return chunk


def verify_archive(path: Path, *, key: str | None = None, digest: str | None = None) -> Manifest:
    """Return the manifest of an archive in which everything is as it was taken.

    Nothing is extracted; files are read in blocks, names are only compared.

    Raises:
        InputError: `evidence.archive` or `evidence.manifest` where it is no such archive.
        VerificationError: see `response.evidence`.
    """
    found: dict[str, tuple[int, str]] = {}
    signed: dict[str, bytes] = {}
    try:
        with tarfile.open(path, mode="r:") as tar:
            for member in tar:
                content = tar.extractfile(member)
                if not member.isreg() or content is None or member.name in found:
                    raise _no_archive(path, f"{member.name[:80]!r} is no plain file, or is twice")
                if member.name in {MANIFEST, SIGNATURE}:
                    signed[member.name] = content.read(MAX_MANIFEST_BYTES + 1)
                    continue
                sha256 = hashlib.sha256()
                for block in _blocks(content):
                    sha256.update(block)
                found[member.name] = (member.size, sha256.hexdigest())
    except (tarfile.TarError, OSError, EOFError, ValueError) as error:
        raise _no_archive(path, str(error)) from error
    if signed.keys() != {MANIFEST, SIGNATURE}:
        raise _no_archive(path, "it has no manifest or no signature")
    manifest = verify_manifest(signed[MANIFEST], signed[SIGNATURE], key=key, digest=digest)
    verify_kept(manifest, found)
    return manifest


def _blocks(content: IO[bytes]) -> Iterator[bytes]:
    while block := content.read(_BLOCK):
        yield block


def _no_archive(path: Path, why: str) -> InputError:
    return InputError("evidence.archive", f"it is no archive of evidence: {why}", where=str(path))


def _failed(path: Path, error: OSError) -> DependencyError:
    return DependencyError(
        "evidence.write", f"the archive {path} cannot be written: {error.strerror or error}"
    )
