"""A secret that a command of the user's replaces: a program and its arguments, never a shell.

The command gets a new secret as one line on its standard input, to use or to ignore. It keeps the
old one good until its peers have the new one, and exits 0. It runs with nothing of our environment
but PATH, in a session of its own that ends with it, bounded in time. What it prints is not kept,
since it may be the secret.
"""

import asyncio
import contextlib
import os
import secrets
import shutil
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePath
from typing import Final

from meshwarden.kernel import DependencyError

SECRET_BYTES: Final = 32
WITHIN_S: Final = 30.0
"""A database needs less than a second; longer holds up the replacement of the suspect."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandRotation:
    """The secret that `argv` replaces, within `within_s` seconds."""

    argv: tuple[str, ...]
    within_s: float = WITHIN_S
    generate: Callable[[int], str] = secrets.token_urlsafe

    @property
    def name(self) -> str:
        """The program's name."""
        return PurePath(self.argv[0]).name

    async def check(self) -> str | None:
        """Return why it cannot be run."""
        found = await asyncio.to_thread(shutil.which, self.argv[0])
        return None if found else f"{self.argv[0]} cannot be run"

    async def rotate(self, key: str) -> None:
        """Run it.

        Raises:
            DependencyError: `rotate.start`, `rotate.hangs`, `rotate.failed`.
        """
        del key  # a command knows by itself what it has done already
        process = await self._start()
        try:
            async with asyncio.timeout(self.within_s):
                secret = self.generate(SECRET_BYTES)
                with contextlib.suppress(ConnectionError):  # it does not read
                    await process.communicate(f"{secret}\n".encode())
                code = await process.wait()
        except TimeoutError as error:
            raise DependencyError(
                "rotate.hangs", f"{self.name} took over {self.within_s:g} s"
            ) from error
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
        if code:
            raise DependencyError("rotate.failed", f"{self.name} ended with {code}")

    async def settle(self, key: str) -> str:
        """Return what is known: the command is the one to prove more."""
        del key
        return f"{self.name} ended well"

    async def _start(self) -> asyncio.subprocess.Process:
        try:
            return await asyncio.create_subprocess_exec(
                *self.argv,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.DEVNULL,
                env={"PATH": os.defpath},
                start_new_session=True,
            )
        except OSError as error:
            raise DependencyError(
                "rotate.start", f"{self.name} cannot be started: {error.strerror}"
            ) from error
