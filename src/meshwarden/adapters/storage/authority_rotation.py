"""An authority and its successor on disk: prepared, switched, over; a kill leaves one of these.

Beside the files of `authority`, each 0600 and made whole by one rename:

- `next.pem`: the prepared authority: key, certificate, root;
- `next-root.pem`: where the root changes too, the new root's key and certificate;
- `retired-<serial>.pem`: what signed before: when its last certificate ends (`until: ...`), its
  key, certificate, root. It signs revocation lists.

The switch is the rename of `next.pem` to `intermediate.pem`. What comes before it (writing the
retired file) does not count without it, and what comes after it (moving the new root into its
place) is done again at the next loading until it is finished.
"""

import contextlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from meshwarden.adapters.storage.authority import (
    INTERMEDIATE,
    ROOT,
    ROOT_KEY,
    damaged,
    load_or_create_authority,
    load_root,
    load_signing,
    read_private,
    replace_private,
    storage_errors,
)
from meshwarden.adapters.storage.durable import sync_folder
from meshwarden.identity import (
    Authority,
    Retired,
    Root,
    Trust,
    create_authority,
    create_root,
    issuer_name,
    parse_certificates,
    parse_private_key,
    render_private_key,
)
from meshwarden.identity.model import render_certificates
from meshwarden.kernel import ConfigError, InputError, VerificationError

NEXT: Final = "next.pem"
NEXT_ROOT: Final = "next-root.pem"
RETIRED: Final = "retired-"
_UNTIL: Final = b"until: "
_RESTORE: Final = "restore it from a backup, or remove this one file; see docs/guide/revocation.md"


def load_or_create_trust(
    directory: Path,
    trust_domain: str,
    *,
    now: datetime,
    draw_serial: Callable[[], int] = x509.random_serial_number,
) -> Trust:
    """Return the authorities kept in `directory`; one is made where there is none.

    Args and errors are those of `load_or_create_authority`.
    """
    with storage_errors(directory):
        _finish_root(directory)
    current = load_or_create_authority(directory, trust_domain, now=now, draw_serial=draw_serial)
    with storage_errors(directory):
        retired = load_retired_all(directory, trust_domain, now=now)
        trust = Trust(
            current=current,
            prepared=load_next(directory, trust_domain, now=now),
            # One that still signs was about to retire when something ended the process.
            retired=tuple(
                old for old in retired if issuer_name(old.authority) != issuer_name(current)
            ),
        )
        if trust.prepared is None and (directory / NEXT_ROOT).exists():
            (directory / NEXT_ROOT).unlink()
    return trust


def prepare_authority(
    directory: Path,
    trust: Trust,
    *,
    new_root: bool,
    now: datetime,
    draw_serial: Callable[[], int] = x509.random_serial_number,
) -> Trust:
    """Return `trust` with a successor, kept in `directory` before it is returned.

    Args:
        directory: the authority's own.
        trust: as it is now; where a successor is prepared already, it stays that one.
        new_root: also make a new root.
        now: the time of day.
        draw_serial: gives random serial numbers.

    Raises:
        ConfigError: `authority.root_key_elsewhere` where the root's key is needed and not there.
        DependencyError: `authority.storage` where the disk fails.
    """
    if trust.prepared is not None:
        return trust
    domain = trust.current.trust_domain
    with storage_errors(directory):
        if new_root:
            root = create_root(domain, now=now, serial=draw_serial())
            replace_private(directory / NEXT_ROOT, _text_of_root(root))
        else:
            found = load_root(directory, domain)
            if found is None:
                raise ConfigError(
                    "authority.root_key_elsewhere",
                    f"a new intermediate needs the root's key, and {directory / ROOT_KEY} is not"
                    " there",
                    hint="put it back for the rotation, or make a new root: rotate --root",
                )
            root = found
        successor = create_authority(root, now=now, serial=draw_serial())
        replace_private(directory / NEXT, text_of(successor))
    return Trust(current=trust.current, prepared=successor, retired=trust.retired)


def switch_authority(directory: Path, trust: Trust, *, until: datetime) -> Trust:
    """Return `trust` with the prepared authority signing; `directory` has it before it is returned.

    Args:
        directory: the authority's own.
        trust: as it is now.
        until: when the last certificate of the current authority ends.

    Raises:
        DependencyError: `authority.storage` where the disk fails; the next loading tells which of
            the two states it is.
    """
    switched = trust.switched(until=until)
    if switched is trust:
        return trust
    with storage_errors(directory):
        stamp = until.astimezone(UTC).isoformat()
        text = f"{_UNTIL.decode()}{stamp}\n{text_of(trust.current)}"
        replace_private(directory / f"{RETIRED}{issuer_name(trust.current)}.pem", text)
        (directory / NEXT).rename(directory / INTERMEDIATE)
        sync_folder(directory)
        _finish_root(directory)
    return switched


def remove_ended(directory: Path, trust: Trust, *, now: datetime) -> Trust:
    """Return `trust` without the authorities of which nothing lives; their keys are removed."""
    left = trust.without_ended(now=now)
    with storage_errors(directory):
        kept = {f"{RETIRED}{issuer_name(old.authority)}.pem" for old in left.retired}
        for path in directory.glob(f"{RETIRED}*.pem"):
            if path.name not in kept:
                path.unlink()
    return left


def load_next(directory: Path, trust_domain: str, *, now: datetime) -> Authority | None:
    """Return the prepared authority; None where there is none; StateError `authority.damaged`."""
    path = directory / NEXT
    if not path.exists():
        return None
    with damaged_as_error(path):
        return load_signing(path, directory / ROOT, trust_domain, now=now)


@contextlib.contextmanager
def damaged_as_error(path: Path) -> Iterator[None]:
    """Turn what is wrong with the authority in the file `path` into `authority.damaged`."""
    try:
        yield
    except (InputError, VerificationError) as error:
        raise damaged(path.parent, f"{path.name}: {error.message}", _RESTORE) from error


def load_retired_all(directory: Path, trust_domain: str, *, now: datetime) -> list[Retired]:
    """Return the retired authorities that have not ended; StateError `authority.damaged`."""
    return [
        one
        for path in sorted(directory.glob(f"{RETIRED}*.pem"))
        if (one := _load_retired(path, trust_domain, now=now)) is not None
    ]


def _load_retired(path: Path, trust_domain: str, *, now: datetime) -> Retired | None:
    """Return the retired authority in the file; None where its own certificates have ended."""
    try:
        first, _, _ = read_private(path).partition(b"\n")
        until = datetime.fromisoformat(first.removeprefix(_UNTIL).decode())
        authority = load_signing(path, path.parent / ROOT, trust_domain, now=now)
    except (ValueError, InputError, VerificationError) as error:
        if isinstance(error, VerificationError) and error.code == "identity.expired":
            return None
        raise damaged(path.parent, f"{path.name}: {error}", _RESTORE) from error
    return Retired(authority=authority, until=until)


def _finish_root(directory: Path) -> None:
    """Move a new root into its place where the authority that it signed has been switched to."""
    path, signing = directory / NEXT_ROOT, directory / INTERMEDIATE
    if not path.exists() or not signing.exists():
        return
    raw = read_private(path)
    root = parse_certificates(raw, where=str(path))[0]
    if parse_certificates(read_private(signing), where=str(signing))[-1] != root:
        return
    key = render_private_key(parse_private_key(raw, where=str(path)))
    replace_private(directory / ROOT_KEY, key.reveal())
    replace_private(directory / ROOT, root.public_bytes(Encoding.PEM).decode())
    path.unlink()


def text_of(authority: Authority) -> str:
    """Return key, certificates and root of an authority as one file holds them, PEM."""
    chain = (*authority.intermediates, *authority.bundle.certificates)
    return render_private_key(authority.key).reveal() + render_certificates(chain)


def _text_of_root(root: Root) -> str:
    return render_private_key(root.key).reveal() + render_certificates((root.certificate,))
