"""The register of issued certificates as JSON lines, appended one by one.

A killed process loses nothing that was appended; what is appended as durable also survives the
machine. A line that a crash tore at the end was never acknowledged and is cut off. Any other line
that cannot be read stops the start: it may be the record of a revocation, and passing over it would
make a revoked certificate good again.

The file is rewritten, by one rename, when most of its lines are about what is forgotten.
"""

import json
import os
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NoReturn

from meshwarden.adapters.storage.durable import sync_folder, write_whole
from meshwarden.identity import Kind, Record, Register
from meshwarden.kernel import DependencyError, StateError

_REWRITE_LINES: Final = 2000
_REWRITE_RATIO: Final = 2


class FileRegister:
    """Keeps records in one file, mode 0600; one process writes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lines = 0

    def load(self) -> Register:
        """Return the register that follows from the file.

        Raises:
            StateError: `register.damaged` where a line cannot be read, with file and line.
            DependencyError: `register.storage` where the file cannot be read.
        """
        register = Register()
        try:
            raw = self._path.read_bytes() if self._path.exists() else b""
            whole, _, torn = raw.rpartition(b"\n")
            if torn:
                with self._path.open("rb+") as file:
                    file.truncate(len(raw) - len(torn))
        except OSError as error:
            raise self._unusable(error) from error
        self._lines = 0
        for number, line in enumerate(whole.splitlines(), start=1):
            register.apply(_parse(line, f"{self._path}:{number}"))
            self._lines += 1
        return register

    def append(self, records: Iterable[Record], *, durable: bool = False) -> None:
        """Keep `records`; DependencyError `register.storage` where that fails.

        Args:
            records: what happened.
            durable: wait until the disk has them.
        """
        lines = [_render(record) for record in records]
        try:
            descriptor = os.open(
                self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600
            )
            try:
                _write_whole_lines(descriptor, b"".join(lines))
                if durable:
                    os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise self._unusable(error) from error
        self._lines += len(lines)

    def compact(self, register: Register) -> None:
        """Rewrite the file as what `register` holds, where most lines are about what it forgot."""
        records = list(register.records())
        if self._lines < _REWRITE_LINES or self._lines < _REWRITE_RATIO * len(records):
            return

        def _write(path: Path) -> None:
            path.touch(mode=0o600)
            path.write_bytes(b"".join(map(_render, records)))

        try:
            write_whole(self._path, _write)
        except OSError as error:
            raise self._unusable(error) from error
        self._lines = len(records)

    def sync(self) -> None:
        """Make all that was appended durable."""
        try:
            with self._path.open("rb+") as file:
                os.fsync(file.fileno())
            sync_folder(self._path.parent)
        except OSError as error:
            raise self._unusable(error) from error

    def _unusable(self, error: OSError) -> DependencyError:
        return DependencyError(
            "register.storage",
            f"cannot keep the register of certificates in {self._path}: {error.strerror or error}",
            hint="free space, and let the account that runs meshwarden write there",
            retry_after_s=5,
        )


def _write_whole_lines(descriptor: int, raw: bytes) -> None:
    """Append all of `raw` or nothing: no half line may stand before the next record."""
    start = os.fstat(descriptor).st_size
    written = 0
    try:
        while written < len(raw):
            written += os.write(descriptor, raw[written:])
    except OSError:
        os.ftruncate(descriptor, start)
        raise


def _render(record: Record) -> bytes:
    found: dict[str, Any] = {"time": _stamp(record.time), "kind": record.kind.value}
    for name in ("identity", "instance", "sha256", "issuer", "reason", "number"):
        if value := getattr(record, name):
            found[name] = value
    if record.serial is not None:
        found["serial"] = f"{record.serial:x}"
    if record.not_after is not None:
        found["not_after"] = _stamp(record.not_after)
    return json.dumps(found, separators=(",", ":")).encode() + b"\n"


def _parse(line: bytes, where: str) -> Record:
    try:
        found = json.loads(line)
        end = found.get("not_after")
        serial = found.get("serial")
        return Record(
            time=_moment(found["time"]),
            kind=Kind(found["kind"]),
            identity=str(found.get("identity", "")),
            instance=str(found.get("instance", "")),
            serial=None if serial is None else int(serial, 16),
            sha256=str(found.get("sha256", "")),
            issuer=str(found.get("issuer", "")),
            not_after=None if end is None else _moment(end),
            number=found.get("number"),
            reason=str(found.get("reason", "")),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        _damaged(where, error)


def _damaged(where: str, error: Exception) -> NoReturn:
    raise StateError(
        "register.damaged",
        f"{where} is no record of the register of certificates: {str(error)[:80]}",
        hint="restore the file from a backup; a line that is left out may be a revocation",
    ) from error


def _stamp(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("a time without zone")
    return moment
