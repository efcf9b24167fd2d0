"""The keys of JWT-SVIDs and the bundle's sequence number on disk: one file, mode 0600.

The sequence number must never go back (SPIFFE Trust Domain and Bundle, 4.1.1), so it is stored
before a bundle with it is shown. Keys that another account could read are refused, not repaired.
"""

import json
import os
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from stat import S_IMODE
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec

from meshwarden.adapters.storage.durable import write_whole
from meshwarden.identity import JwtKey, parse_private_key, render_private_key
from meshwarden.identity.jwt_authority import kid_of
from meshwarden.kernel import DependencyError, InputError, StateError

_OTHERS: Final = 0o077
_MAX_BYTES: Final = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptKeys:
    """What the file holds.

    Attributes:
        keys: signing keys, the oldest first.
        sequence: of the bundle that was shown last; 0 before the first.
        shown: digest of what that bundle held.
    """

    keys: tuple[JwtKey, ...] = ()
    sequence: int = 0
    shown: str = ""


def load_jwt_keys(path: Path) -> KeptKeys:
    """Return what is kept; nothing where there is no file.

    Raises:
        StateError: `jwt_keys.readable` where others could read the keys, `jwt_keys.damaged` where
            the file holds something else.
        DependencyError: `jwt_keys.storage` where it cannot be read.
    """
    try:
        with path.open("rb") as file:
            _require_private(path, os.fstat(file.fileno()))
            raw = file.read(_MAX_BYTES)
    except FileNotFoundError:
        return KeptKeys()
    except OSError as error:
        raise _failed(path, error) from error
    try:
        found = json.loads(raw)
        keys = tuple(_parse(one, path) for one in found["keys"])
        return KeptKeys(keys=keys, sequence=int(found["sequence"]), shown=str(found["shown"]))
    except (ValueError, KeyError, TypeError, InputError) as error:
        raise StateError(
            "jwt_keys.damaged",
            f"the keys of JWT-SVIDs in {path} cannot be read",
            hint="remove the file: new keys are made, and tokens of the last minutes are refused",
        ) from error


def store_jwt_keys(path: Path, kept: KeptKeys) -> None:
    """Keep `kept` durably; DependencyError `jwt_keys.storage` where that fails."""
    document = {
        "keys": [
            {"pem": render_private_key(one.key).reveal(), "signs_from": one.signs_from.isoformat()}
            for one in kept.keys
        ],
        "sequence": kept.sequence,
        "shown": kept.shown,
    }
    try:
        write_whole(path, lambda temporary: _write(temporary, json.dumps(document)))
    except OSError as error:
        raise _failed(path, error) from error


def _parse(found: dict[str, str], path: Path) -> JwtKey:
    key = parse_private_key(found["pem"].encode(), where=str(path))
    signs_from = datetime.fromisoformat(found["signs_from"])
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.curve.name != "secp256r1":
        raise ValueError("not a key for ES256")
    if signs_from.tzinfo is None:
        raise ValueError("a time without its zone")
    return JwtKey(kid=kid_of(key.public_key()), key=key, signs_from=signs_from)


def _write(path: Path, text: str) -> None:
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with open(descriptor, "w", encoding="ascii") as file:  # noqa: PTH123  # it has no path
        file.write(text)


def _require_private(path: Path, found: os.stat_result) -> None:
    mode = S_IMODE(found.st_mode)
    if mode & _OTHERS or found.st_uid not in {os.geteuid(), 0}:
        raise StateError(
            "jwt_keys.readable",
            f"{path} belongs to user {found.st_uid} with mode {mode:o}: others may have read it",
            hint="remove it: new keys are made; if nobody read it, chmod 600",
        )


def _failed(path: Path, error: OSError) -> DependencyError:
    return DependencyError(
        "jwt_keys.storage",
        f"the keys of JWT-SVIDs cannot be kept in {path}: {error.strerror or error}",
        hint="free space, and let the account that runs meshwarden write there",
        retry_after_s=5,
    )
