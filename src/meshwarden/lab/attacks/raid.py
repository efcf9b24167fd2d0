"""Carries an attack out for real: the intruder's process in a service of a running bank.

Where he needs what another compromised service holds, a process there reads its memory first, and
what it finds is handed to him, over a way that nobody here sees.

What it tells are facts about its own steps: when each began and ended. Whether it got anywhere is
asked of the targets, in `judge`.
"""

import asyncio
import contextlib
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final

from meshwarden.adapters.process import Child, Guard, LineSink, Program
from meshwarden.control.layout import Layout
from meshwarden.kernel import DependencyError
from meshwarden.lab.attacks.foothold import HOLE, MAX_LINE
from meshwarden.lab.attacks.model import LOOT, Attack, Foothold, Loot
from meshwarden.lab.bank.directory import Directory
from meshwarden.lab.mesh import CARD_NETWORK_HOST
from meshwarden.lab.stage import CUSTOMERS, SEED, Stage

_GRACE_S: Final = 5.0
_ROBS_WITHIN_S: Final = 20.0
_KNOWN: Final = 200
_OUTLASTS_S: Final = 60.0
"""How long he may go on after his plan is over: answers that are late, a service that is frozen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """One step that is over.

    Attributes:
        at: when it began, nanoseconds since the epoch.
        end: when it was over.
        what: in words.
        octets: of its body.
        answered: whether the intruder saw an answer that was no refusal.
    """

    at: int
    end: int
    what: str
    octets: int
    answered: bool


@dataclass(slots=True, kw_only=True)
class Raid:
    """One attack that is under way, or over.

    Attributes:
        attack: which.
        foothold: what the intruder found.
        started: when its process was started, nanoseconds since the epoch; None: not yet.
        acts: the steps so far, in the order in which they ended.
        said: what else the process printed: why it failed.
    """

    attack: Attack
    foothold: Foothold
    started: int | None = None
    acts: list[Act] = field(default_factory=list)
    said: list[str] = field(default_factory=list)

    def take_line(self, _: str, line: str) -> None:
        """Take one line of the intruder's output."""
        try:
            told = json.loads(line)
        except ValueError:
            self.said.append(line)
            return
        self.acts.append(_act(told))

    async def carry_out(
        self, stage: Stage, *, seconds: float, seed: int, now_ns: Callable[[], int]
    ) -> None:
        """Run the intruder in the compromised service of `stage` until it is done.

        Raises:
            DependencyError: where it cannot be started.
        """
        self.started = now_ns()
        if self.attack.robs is not None:
            await self._rob(stage, self.attack.robs)
        bare = replace(self.foothold, loot=())
        command = (
            sys.executable, "-P", "-m", "meshwarden.lab.attacks.intruder", self.attack.name,
            "--foothold", json.dumps(asdict(bare)),
            "--seconds", f"{seconds:g}", "--seed", str(seed),
        )  # fmt: skip
        environment = {LOOT: json.dumps([one.token for one in self.foothold.loot])}
        running = self._beside if stage.layout.isolated else self._within
        with contextlib.suppress(TimeoutError):  # he was frozen, and nobody lets him go
            async with asyncio.timeout(seconds + _OUTLASTS_S):
                await running(stage, command, environment)

    async def _beside(
        self, stage: Stage, command: Sequence[str], environment: Mapping[str, str]
    ) -> None:
        """Run it as the service's user, in its network and its view."""
        program = stage.supervisor.beside(self.attack.service, self.attack.name, command)
        told = replace(program, environment={**program.environment, **environment})
        await _run(told, self.take_line)

    async def _within(
        self, stage: Stage, command: Sequence[str], environment: Mapping[str, str]
    ) -> None:
        """Run it as a child of the service, through the hole in it, until either has ended."""
        hole = stage.layout.app_dir(self.attack.service) / HOLE
        try:
            reader, writer = await asyncio.open_unix_connection(hole, limit=MAX_LINE)
        except OSError as error:
            name = self.attack.service
            raise DependencyError("lab.intruder", f"no hole in {name}: {error.strerror}") from error
        try:
            asked = {"command": command, "environment": environment}
            writer.write(json.dumps(asked).encode() + b"\n")
            while line := await reader.readline():
                self.take_line(self.attack.name, line.decode(errors="replace").rstrip("\n"))
        finally:
            writer.close()

    async def _rob(self, stage: Stage, service: str) -> None:
        """Read what the attack wants out of the memory of `service`; DependencyError."""
        command = [
            sys.executable, "-P", "-m", "meshwarden.lab.attacks.looter",
            f"meshwarden.lab.bank.{service}", "--within", f"{_ROBS_WITHIN_S:g}",
        ]  # fmt: skip
        for scope in self.attack.wants:
            command += ["--scope", scope]
        lines: list[str] = []
        program = stage.supervisor.beside(service, f"{self.attack.name}-looter", command)
        status = await _run(program, lambda _, line: lines.append(line))
        if status:
            said = lines[-1] if lines else f"exit code {status}"
            raise DependencyError("lab.loot", f"the thief came away empty-handed: {said}")
        loot = tuple(Loot(token=json.loads(line)["token"]) for line in lines)
        self.foothold = replace(self.foothold, loot=loot)


async def _run(program: Program, sink: LineSink) -> int:
    """Return the exit status of `program`, which ends with this task."""
    with contextlib.closing(Guard()) as guard:
        child = await Child.start(program, guard=guard, sink=sink)
        try:
            return (await child.wait()).status
        except asyncio.CancelledError:
            await child.stop(grace_s=_GRACE_S)
            raise


def found_in(stage: Stage, attack: Attack, *, mark: str) -> Foothold:
    """Return what a process in the compromised service of `stage` finds."""
    directory = Directory(SEED, CUSTOMERS)
    known = [directory.customer(number) for number in range(1, _KNOWN)]
    others = [name for name in stage.mesh.services if name != attack.service]
    return Foothold(
        names=tuple(others),
        addresses=tuple(_addresses(stage.layout, others)),
        egress=(CARD_NETWORK_HOST,),
        mule=directory.customer(0).accounts[0],
        accounts=tuple(customer.accounts[0] for customer in known),
        customers=tuple(customer.id for customer in known),
        mark=mark,
    )


def _addresses(layout: Layout, names: list[str]) -> list[str]:
    return [layout.host(name) for name in names]


def _act(told: dict[str, Any]) -> Act:
    what = (
        f"{told['method']} http://{told['host']}{told['path']}"
        if told["way"] == "proxy"
        else f"connection to {told['host']}:{told['port']}"
    )
    seen = told.get("status", told.get("error", ""))
    return Act(
        at=told["at"],
        end=told["end"],
        what=f"{what} ({seen})" if seen else what,
        octets=told["octets"],
        answered=bool(told.get("answered")),
    )
