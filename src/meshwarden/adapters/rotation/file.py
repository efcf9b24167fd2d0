"""A secret in a file: replaced in one step, mode and owner kept, the previous one beside it.

Who checks the secret accepts what `<file>` and `<file>.previous` hold; who shows it reads `<file>`.
`<file>.rotation` says which replacement is under way, so that one that was interrupted goes on.
"""

import asyncio
import hmac
import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from meshwarden.adapters.rotation.place import Folder, folder_of
from meshwarden.kernel import Clock, DependencyError, VerificationError

SECRET_BYTES: Final = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class FileRotation:
    """The secret in the file `path`; the previous one stays good for `overlap_s` seconds."""

    path: Path
    clock: Clock
    overlap_s: float = 5.0
    generate: Callable[[int], str] = secrets.token_urlsafe

    @property
    def name(self) -> str:
        """The file's path."""
        return str(self.path)

    async def check(self) -> str | None:
        """Return why it cannot be replaced: there is no such file, or it cannot be read."""
        try:
            found = await asyncio.to_thread(self._read, self.path.name)
        except DependencyError as error:
            return error.message
        return None if found is not None else f"there is no {self.path}"

    async def rotate(self, key: str) -> None:
        """Keep the old one as previous, then put a new one in its place."""
        await asyncio.to_thread(self._rotate, key)

    async def settle(self, key: str) -> str:
        """Wait until the overlap is over, and remove the previous one."""
        begun = await asyncio.to_thread(self._begun)
        if begun is not None and begun[0] == key:
            left_s = begun[1] + self.overlap_s - self.clock.now().timestamp()
            await asyncio.sleep(min(max(0.0, left_s), self.overlap_s))
        await asyncio.to_thread(self._settle)
        return f"{self.path} holds a new secret, and the previous one is gone"

    def _rotate(self, key: str) -> None:
        with folder_of(self.path) as folder:
            current = folder.read(self.path.name)
            if current is None:
                raise DependencyError("rotate.file", f"there is no {self.path}")
            content, whose = current
            begun = _parsed(folder, self._note)
            if begun is None or begun[0] != key:
                folder.write(self._previous, content, whose)
                now = self.clock.now().timestamp()
                folder.write(self._note, json.dumps([key, now]).encode(), whose)
            elif not self._is_previous(folder, content):
                return  # it was put in place before a crash
            end = b"\n" if content.endswith(b"\n") else b""
            folder.write(self.path.name, self.generate(SECRET_BYTES).encode() + end, whose)

    def _settle(self) -> None:
        with folder_of(self.path) as folder:
            current = folder.read(self.path.name)
            if current is None or self._is_previous(folder, current[0]):
                raise VerificationError("rotate.unchanged", f"{self.path} has no new secret")
            folder.remove(self._previous)
            folder.remove(self._note)

    def _is_previous(self, folder: Folder, content: bytes) -> bool:
        previous = folder.read(self._previous)
        return previous is not None and hmac.compare_digest(previous[0], content)

    def _begun(self) -> tuple[str, float] | None:
        with folder_of(self.path) as folder:
            return _parsed(folder, self._note)

    def _read(self, name: str) -> bytes | None:
        with folder_of(self.path) as folder:
            found = folder.read(name)
        return None if found is None else found[0]

    @property
    def _previous(self) -> str:
        return f"{self.path.name}.previous"

    @property
    def _note(self) -> str:
        return f"{self.path.name}.rotation"


def _parsed(folder: Folder, name: str) -> tuple[str, float] | None:
    """Return key and begin (seconds since the epoch) of the replacement under way."""
    found = folder.read(name)
    if found is None:
        return None
    try:
        key, begun = json.loads(found[0])
        return str(key), float(begun)
    except (ValueError, TypeError, RecursionError):
        return None  # whoever may write there has spoilt it: a replacement begins anew
