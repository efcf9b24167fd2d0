"""The standing bank that is attacked again and again, under its customers' load.

Between two attacks the control plane is killed and started with what it had learned before, so that
the next attack is found by the same sign and not by what is left of the last one. The bank and its
customers go on meanwhile. What that takes is most of the time of a run, and none of its figures.
"""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.response_run import Run, drop_evidence, figures
from meshwarden.adapters.clock import SystemClock
from meshwarden.control.layout import BEHAVIOUR_STATE, CONTROL_PLANE
from meshwarden.control.supervision.restarts import RestartPolicy
from meshwarden.control.watching import Pace
from meshwarden.kernel import DependencyError
from meshwarden.lab.answer import Fared, follow
from meshwarden.lab.attacks import Attack
from meshwarden.lab.attacks.forgotten import render_policy
from meshwarden.lab.attacks.siege import lay_siege
from meshwarden.lab.bank.directory import Directory
from meshwarden.lab.bank.ledger_db import find_binaries
from meshwarden.lab.demo import SPEED, START, customer_model
from meshwarden.lab.history import learn_history
from meshwarden.lab.load import Load
from meshwarden.lab.stage import CUSTOMERS, SEED, Stage, staged

SPAN_S = 3600
APART_S = 1.0
LOOK_S = 0.05
LASTS_S = {"exfiltration": 4.0, "slow-exfiltration": 90.0, "beacon": 20.0}
"""How long an attack goes on where nobody ends it, if not as long as it says itself. Exfiltration
is three times as fast as in the demonstration, so that more leaves meanwhile."""

RAILS = """\
apiVersion: meshwarden.dev/v1
guard_rails: {max_actions_per_hour: 10000}
"""
RESTARTS = RestartPolicy(factor=1.0)
"""It is us who kill the control plane: it need not be waited for ever longer."""


def now_ns() -> int:
    """Return the time of day in nanoseconds since the epoch."""
    return int(SystemClock().now().timestamp() * 1_000_000) * 1000


def learn(path: Path) -> bytes:
    """Return what a week of the bank teaches, learned once and kept in `path`."""
    if not path.exists():
        learn_history(
            path, customer_model(), until=START, days=7, seed=1,
            postgres=find_binaries() is not None,
        )  # fmt: skip
    return path.read_bytes()


@dataclass(kw_only=True)
class Bank:
    """A running bank, its customers, and what its watch had learned before anything happened."""

    stage: Stage
    load: Load
    learned: bytes

    async def attacked(self, attack: Attack, seed: int) -> Run | None:
        """Carry out `attack`; return what became of it, None where it was cut off by then."""
        before, began = Fared.so_far(self.load.report), now_ns()
        siege = await lay_siege(
            self.stage,
            attack,
            seconds=LASTS_S.get(attack.name, attack.brief_s or 60.0),
            seed=seed,
            failed_customers=lambda: self.load.report.total.failed,
            now_ns=now_ns,
        )
        report = self.load.report
        answer = await follow(self.stage, siege.suspect, since=began, report=report, before=before)
        if answer is None:
            fared = Fared.so_far(report).since(before)
            return Run(
                attack=attack.name, seed=seed, requests=fared.requests, failures=fared.failures
            )
        received = await self.stage.received()
        drop_evidence(answer)
        run = figures(siege, answer, received, seed=seed, began=began)
        late = run.contained_ms is not None and run.contained_ms < 0
        return None if late else run

    async def forget(self) -> None:
        """Have nothing on record any more that is not over, and the watch know of no attack."""
        for incident in await self.stage.incidents():
            with contextlib.suppress(DependencyError):  # it is over by then, or not to be closed
                await self.stage.close_incident(incident["id"])
        supervisor = self.stage.supervisor
        killed = supervisor.pids[CONTROL_PLANE]
        os.kill(killed, signal.SIGKILL)
        self.stage.layout.behaviour.write_bytes(self.learned)
        while supervisor.pids.get(CONTROL_PLANE) in {killed, None}:  # noqa: ASYNC110
            await asyncio.sleep(LOOK_S)  # the supervisor tells nobody
        await self.set_pace()

    async def set_pace(self) -> None:
        """Return once the watch goes by the bank's own time, and every sidecar is connected."""
        while not await self._is_ready():  # noqa: ASYNC110  # another program tells nobody
            await asyncio.sleep(LOOK_S)
        shows = int(START.timestamp()) * 10**9
        await self.stage.set_pace(Pace(at=now_ns(), shows=shows, speed=SPEED))
        await asyncio.sleep(APART_S)  # customers of whom the watch is to see something first

    async def _is_ready(self) -> bool:
        try:
            status = await self.stage.status()
        except DependencyError:
            return False
        return status["watch"]["ready"] and all(one["connected"] for one in status["sidecars"])


@contextlib.asynccontextmanager
async def standing(state: Path, learned: bytes, attack: Attack) -> AsyncIterator[Bank]:
    """Run a bank whose policy is the one that `attack` finds, with its customers, in `state`."""
    (state / BEHAVIOUR_STATE).parent.mkdir(parents=True, exist_ok=True)
    (state / BEHAVIOUR_STATE).write_bytes(learned)
    model = customer_model()
    async with staged(
        state, environment=os.environ, playbooks=("full", "observe"), guard_rails=RAILS,
        access_policy=render_policy(attack) if attack.grants else None, restarts=RESTARTS,
    ) as stage:  # fmt: skip
        load = Load(stage.edge, model=model, directory=Directory(SEED, CUSTOMERS))
        bank = Bank(stage=stage, load=load, learned=learned)
        await bank.set_pace()
        actions = model.timeline(start=START, span_s=SPAN_S * SPEED).actions()
        loading = asyncio.create_task(load.run(actions, speed=SPEED))
        try:
            await asyncio.wait({loading}, timeout=5 * APART_S)
            yield bank
        finally:
            loading.cancel()
            await asyncio.wait({loading})
