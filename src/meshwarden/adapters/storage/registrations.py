"""Registrations on disk: who may have which identity, as JSON that one command writes.

A file of version 1 with a list; written whole (0600), so that a reader sees the old one or the new
one. What breaks the format is refused as a whole: half a list would refuse the innocent.
"""

import fcntl
import json
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from meshwarden.adapters.storage.durable import write_whole
from meshwarden.identity import Registration, Selectors, Session
from meshwarden.kernel import ConfigError, DependencyError, InputError, SpiffeId

VERSION: Final = 1
MAX_REGISTRATIONS: Final = 10_000
_MAX_BYTES: Final = 16 * 1024**2


def load_registrations(path: Path) -> tuple[Registration, ...]:
    """Return what is registered; nothing where there is no file.

    Raises:
        InputError: `registrations.format` where the file breaks the format.
        DependencyError: `registrations.storage` where it cannot be read.
    """
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise _failed(path, error) from error
    try:
        found = json.loads(raw[:_MAX_BYTES])
        if found["version"] != VERSION or len(found["registrations"]) > MAX_REGISTRATIONS:
            raise InputError("registrations.format", "is of another version", where=str(path))
        return tuple(_parse(one) for one in found["registrations"])
    except (ValueError, KeyError, TypeError, AttributeError, ConfigError) as error:
        raise InputError(
            "registrations.format", f"is no list of registrations: {error}", where=str(path),
            hint="it is written by `meshwarden identity register`",
        ) from error  # fmt: skip


def change_registrations(
    path: Path, change: Callable[[tuple[Registration, ...]], Iterable[Registration]]
) -> tuple[Registration, ...]:
    """Replace what is registered by what `change` makes of it; return that.

    Two commands at once do not undo one another.

    Raises:
        InputError, DependencyError: as `load_registrations`; then nothing has changed.
    """
    lock = path.with_suffix(".lock")
    try:
        with open(os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)) as held:  # noqa: PTH123
            fcntl.flock(held, fcntl.LOCK_EX)
            changed = tuple(change(load_registrations(path)))
            write_whole(path, lambda temporary: _write(temporary, changed))
    except OSError as error:
        raise _failed(path, error) from error
    return changed


def render_registration(registration: Registration) -> dict[str, Any]:
    """Return a registration as JSON shows it: what was not asked for is left out."""
    selectors = {
        name: value for name, value in asdict(registration.selectors).items() if value is not None
    }
    found: dict[str, Any] = {"identity": str(registration.identity), "selectors": selectors}
    return found | ({"hint": registration.hint} if registration.hint else {})


def _parse(found: Mapping[str, Any]) -> Registration:
    selectors = dict(found["selectors"])
    if "session" in selectors:
        selectors["session"] = Session(**selectors["session"])
    for name in ("uid", "gid", "network_namespace"):
        if isinstance(selectors.get(name, 0), bool) or not isinstance(selectors.get(name, 0), int):
            raise ValueError(f"{name} is no number")  # noqa: TRY004  # caught with the rest
    return Registration(
        identity=SpiffeId.parse(found["identity"]),
        selectors=Selectors(**selectors),
        hint=str(found.get("hint", "")),
    )


def _write(path: Path, registrations: Iterable[Registration]) -> None:
    rendered = [render_registration(one) for one in registrations]
    text = json.dumps({"version": VERSION, "registrations": rendered}, indent=1)
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with open(descriptor, "w", encoding="utf-8") as file:  # noqa: PTH123  # it has no path
        file.write(text + "\n")


def _failed(path: Path, error: OSError) -> DependencyError:
    return DependencyError(
        "registrations.storage",
        f"{path} cannot be used: {error.strerror or error}",
        hint="run as the account that runs meshwarden, on its state directory",
    )
