"""The certificate authority's files: made once, found again, never readable by others.

A directory of its own (0700) with, each 0600:

- `root.pem`: the root certificate, what peers trust;
- `root.key`: its private key. Needed once a year for a new intermediate; may be kept elsewhere;
- `intermediate.pem`: the signing key, its certificate and (after a rotation) its root in one file,
  so that one rename replaces them all. `authority_rotation` says how.

A new directory is written beside its final place and renamed into it, a new intermediate likewise:
a crash, a full disk or a second process leaves the old state or the new one. What a crash left
beside it is removed at the next writing. A key that others could read is refused, not repaired: it
may have been read already.
"""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from stat import S_IMODE
from typing import Final

from cryptography import x509

from meshwarden.adapters.storage.durable import sync_folder
from meshwarden.identity import (
    Authority,
    Root,
    create_authority,
    create_root,
    parse_certificates,
    parse_private_key,
    render_private_key,
    verify_authority,
)
from meshwarden.identity.authority import verify_key
from meshwarden.identity.model import render_certificates
from meshwarden.kernel import (
    ConfigError,
    DependencyError,
    InputError,
    StateError,
    VerificationError,
)

ROOT: Final = "root.pem"
ROOT_KEY: Final = "root.key"
INTERMEDIATE: Final = "intermediate.pem"
_NEW: Final = ".new-"
_OTHERS: Final = 0o077
_MAX_BYTES: Final = 1024 * 1024
_RESTORE: Final = (
    "restore it from a backup, or remove the directory: a new authority is made and every service"
    " gets a new certificate"
)
_CLOCK: Final = ("identity.expired", "identity.not_yet_valid")


def load_or_create_authority(
    directory: Path,
    trust_domain: str,
    *,
    now: datetime,
    draw_serial: Callable[[], int] = x509.random_serial_number,
) -> Authority:
    """Return the authority kept in `directory`, made there if it is empty or missing.

    An intermediate that has ended, or one from a clock that has since been set back, is replaced
    where the root's key is there. One that is due is not: its successor must be known to every
    verifier first, see `authority_rotation`.

    Args:
        directory: its own directory; a missing parent is made too, with mode 0700.
        trust_domain: the one domain that it issues for.
        now: the time of day.
        draw_serial: gives a random serial number of 64 to 159 bits.

    Raises:
        StateError: `authority.readable` where others could read a key; `authority.incomplete` where
            a file is missing; `authority.damaged` where the files are unreadable, do not belong
            together, to this trust domain or to this time.
        DependencyError: `authority.storage` where the disk fails; nothing is half-written then.
    """
    with storage_errors(directory):
        if not directory.exists() or not any(directory.iterdir()):
            _create(directory, create_root(trust_domain, now=now, serial=draw_serial()))
        _require_private(directory, directory.stat())
        try:
            return _load(directory, trust_domain, now=now, draw_serial=draw_serial)
        except InputError as error:
            raise damaged(directory, f"{error.where} {error.message}", _RESTORE) from error
        except VerificationError as error:
            hint = error.hint if error.code in _CLOCK else _RESTORE
            raise damaged(directory, error.message, hint) from error


def load_brought_authority(
    trust_domain: str, *, certificates: Path, key: Path, now: datetime
) -> Authority:
    """Return the authority that the user brings: a PEM file up to the root, and its key.

    Raises:
        ConfigError: `authority.brought` where the two make no authority for `trust_domain`, with
            the reason; `file.unreadable` where one cannot be read.
        StateError: `authority.readable` where others could read the key.
    """
    try:
        raw = certificates.read_bytes()
        raw_key = read_private(key)
    except OSError as error:
        raise ConfigError(
            "file.unreadable",
            f"cannot read {error.filename}: {error.strerror}",
            hint="check the path and its permissions",
        ) from error
    try:
        return verify_authority(
            trust_domain,
            unverified_certificates=raw,
            unverified_key=raw_key,
            now=now,
            where=str(certificates),
        )
    except VerificationError as error:
        raise ConfigError(
            "authority.brought", f"{certificates}: {error.message}", hint=error.hint
        ) from error


def _create(directory: Path, root: Root) -> None:
    """Write a new directory with the root, and rename it into place."""
    directory.parent.mkdir(parents=True, mode=0o700, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=f".{directory.name}{_NEW}", dir=directory.parent))
    try:
        write_private(staging / ROOT, render_certificates((root.certificate,)))
        write_private(staging / ROOT_KEY, render_private_key(root.key).reveal())
        sync_folder(staging)
        staging.rename(directory)
    except OSError:
        shutil.rmtree(staging, ignore_errors=True)
        if not (directory / ROOT).exists():  # else another process was first
            raise
    _remove_left_over(directory.parent, directory.name)
    sync_folder(directory.parent)


def _load(
    directory: Path, trust_domain: str, *, now: datetime, draw_serial: Callable[[], int]
) -> Authority:
    root = load_root(directory, trust_domain)
    path = directory / INTERMEDIATE
    if root is not None and (not path.exists() or _is_over(path, now=now)):
        _replace_intermediate(path, create_authority(root, now=now, serial=draw_serial()))
    if not path.exists():
        raise _incomplete(path)
    authority = load_signing(path, directory / ROOT, trust_domain, now=now)
    if root is not None and authority.bundle.certificates != (root.certificate,):
        raise VerificationError("identity.untrusted", f"{ROOT} is not the root of {INTERMEDIATE}")
    return authority


def load_signing(path: Path, root: Path, trust_domain: str, *, now: datetime) -> Authority:
    """Return the authority in the file `path`; its root is there too, or else in the file `root`.

    Raises:
        InputError: where a file is unreadable.
        VerificationError: where they make no authority of `trust_domain` at `now`.
    """
    raw = read_private(path)
    last = parse_certificates(raw, where=str(path))[-1]
    return verify_authority(
        trust_domain,
        unverified_certificates=raw if last.subject == last.issuer else raw + root.read_bytes(),
        unverified_key=raw,
        now=now,
        where=str(path),
    )


def load_root(directory: Path, trust_domain: str) -> Root | None:
    """Return the root; None where its key is kept elsewhere."""
    path, key_path = directory / ROOT, directory / ROOT_KEY
    if not path.exists():
        raise _incomplete(path)
    certificate = parse_certificates(path.read_bytes(), where=str(path))[0]
    if not key_path.exists():
        return None
    key = parse_private_key(read_private(key_path), where=str(key_path))
    verify_key(certificate, key)
    return Root(trust_domain=trust_domain, certificate=certificate, key=key)


def _is_over(path: Path, *, now: datetime) -> bool:
    one = parse_certificates(read_private(path), where=str(path))[0]
    return not one.not_valid_before_utc <= now < one.not_valid_after_utc


def _replace_intermediate(path: Path, authority: Authority) -> None:
    text = render_private_key(authority.key).reveal() + render_certificates(authority.intermediates)
    replace_private(path, text)


def replace_private(path: Path, text: str) -> None:
    """Make `text` what the file `path` holds, in one step; only its owner can read it."""
    staging = path.with_name(f".{path.name}{_NEW}{os.getpid()}")
    try:
        staging.unlink(missing_ok=True)  # of a process that had our number and was killed
        write_private(staging, text)
        staging.rename(path)
    except FileNotFoundError:
        return  # another process has just replaced the file, and removed this one
    except OSError:
        staging.unlink(missing_ok=True)
        raise
    _remove_left_over(path.parent, path.name)
    sync_folder(path.parent)


def write_private(path: Path, text: str) -> None:
    """Write and sync a new file that only its owner can read, from its first byte on."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with open(descriptor, "w", encoding="ascii") as file:  # noqa: PTH123  # it has no path
        file.write(text)
        file.flush()
        os.fsync(descriptor)


def read_private(path: Path) -> bytes:
    """Return the file's bytes, having made sure of the very file that others cannot read it."""
    with path.open("rb") as file:
        _require_private(path, os.fstat(file.fileno()))
        return file.read(_MAX_BYTES)


def _require_private(path: Path, found: os.stat_result) -> None:
    mode = S_IMODE(found.st_mode)
    if mode & _OTHERS or found.st_uid not in {os.geteuid(), 0}:
        wanted = "700" if path.is_dir() else "600"
        raise StateError(
            "authority.readable",
            f"{path} belongs to user {found.st_uid} with mode {mode:o}: others may have read it",
            hint=f"if nobody did: chown it to the account that runs meshwarden, chmod {wanted}",
        )


def _remove_left_over(parent: Path, name: str) -> None:
    for path in parent.glob(f".{name}{_NEW}*"):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _incomplete(path: Path) -> StateError:
    return StateError(
        "authority.incomplete",
        f"the certificate authority lacks {path}",
        hint=_RESTORE,
    )


def damaged(directory: Path, why: str, hint: str) -> StateError:
    """Return the error that the authority in `directory` cannot be used."""
    return StateError(
        "authority.damaged",
        f"the certificate authority in {directory} is not usable: {why}",
        hint=hint,
    )


@contextlib.contextmanager
def storage_errors(directory: Path) -> Iterator[None]:
    """Turn errors of the disk into DependencyError `authority.storage`."""
    try:
        yield
    except OSError as error:
        raise DependencyError(
            "authority.storage",
            f"cannot keep the certificate authority in {directory}: {error.strerror or error}",
            hint="free space, and let the account that runs meshwarden write there",
        ) from error
