"""Replaces the secrets that the suspect could read, by the commands that its mesh file names.

Each is a program and its arguments, run without a shell, bounded in time, with nothing of our own
environment but PATH. It makes the new secret, keeps the old one good until its peers have the new
one, and exits 0; what it prints is not kept, since it may be the secret. Irreversible.
"""

import asyncio
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import ClassVar, Final

from meshwarden.control.response.action import Applied
from meshwarden.control.response.actions.scene import Scene
from meshwarden.kernel import DependencyError, StateError
from meshwarden.response import Incident

WITHIN_S: Final = 30.0
"""For one command. A database needs less than a second; longer holds up the replacement."""

Command = tuple[str, ...]


@dataclass(kw_only=True)
class RotateSecrets:
    """The action `rotate-secrets`; `commands` by service."""

    name: ClassVar[str] = "rotate-secrets"
    scene: Scene
    commands: Mapping[str, tuple[Command, ...]]

    async def check(self, incident: Incident) -> str | None:
        """Return why it cannot work; None where it can."""
        return self.scene.why_unknown(incident)

    async def apply(self, incident: Incident) -> Applied:
        """Run the commands of the suspect's service, one after the other."""
        commands = self.commands.get(incident.suspect.service, ())
        for command in commands:
            await _run(command)
        if not commands:
            return Applied(outcome="the mesh file names no secret of this service")
        return Applied(outcome=f"{len(commands)} commands have replaced secrets")

    async def probe(self, incident: Incident) -> str:
        """Say what is known: the commands are the ones to prove more."""
        commands = self.commands.get(incident.suspect.service, ())
        names = ", ".join(PurePath(command[0]).name for command in commands)
        return f"{names} ended well" if names else "there was nothing to replace"

    async def undo(self, incident: Incident, undo: Mapping[str, str]) -> str:
        """Never asked: an old secret does not come back."""
        del undo
        raise StateError("rotate.irreversible", f"{incident.id}: a secret is not brought back")


async def _run(command: Command) -> None:
    """Run one command; DependencyError where it fails, hangs, or cannot be started."""
    name = PurePath(command[0]).name
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            env={"PATH": os.defpath},
            start_new_session=True,
        )
    except OSError as error:
        raise DependencyError(
            "rotate.start", f"{name} cannot be started: {error.strerror}"
        ) from error
    try:
        async with asyncio.timeout(WITHIN_S):
            code = await process.wait()
    except TimeoutError as error:
        process.kill()
        await process.wait()
        raise DependencyError("rotate.hangs", f"{name} took over {WITHIN_S:g} s") from error
    if code:
        raise DependencyError("rotate.failed", f"{name} ended with {code}")
