"""One attack on a running bank from its begin to its end, with the judge looking on."""

import asyncio
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pyarrow as pa

from meshwarden.kernel import Finding
from meshwarden.lab.attacks.judge import Judge
from meshwarden.lab.attacks.model import Attack
from meshwarden.lab.attacks.raid import Raid, found_in
from meshwarden.lab.stage import Stage
from meshwarden.lab.timeline import AttackTimeline, tell


@dataclass(frozen=True, slots=True, kw_only=True)
class Siege:
    """One attack, carried out.

    Attributes:
        raid: what the intruder did.
        judge: what the target shows.
        suspect: SPIFFE ID of the compromised service.
    """

    raid: Raid
    judge: Judge
    suspect: str

    def told(self, findings: Sequence[Finding], calls: pa.Table) -> AttackTimeline:
        """Return its timeline from the findings (oldest first) and the record."""
        judge = self.judge
        return tell(
            self.raid,
            findings,
            calls,
            suspect=self.suspect,
            succeeded=judge.succeeded,
            got=judge.got,
        )


async def lay_siege(
    stage: Stage,
    attack: Attack,
    *,
    seconds: float,
    seed: int,
    failed_customers: Callable[[], int],
    now_ns: Callable[[], int],
) -> Siege:
    """Carry out `attack`, which lasts about `seconds`, and return it when it is over.

    Raises:
        DependencyError: where the intruder cannot be started, or a target does not answer.
    """
    raid = Raid(
        attack=attack, foothold=found_in(stage, attack, mark=f"invoice {secrets.token_hex(4)}")
    )
    judge = Judge(stage=stage, raid=raid, failed_customers=failed_customers, now_ns=now_ns)
    watching = asyncio.create_task(judge.watch())
    try:
        await raid.carry_out(stage, seconds=seconds, seed=seed, now_ns=now_ns)
    finally:
        watching.cancel()
        await asyncio.wait({watching})
    await judge.look()
    return Siege(
        raid=raid, judge=judge, suspect=str(stage.policy.services[attack.service].identity)
    )
