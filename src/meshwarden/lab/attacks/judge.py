"""Did the attack succeed? Asked of the targets themselves, never of our own logs.

- Octets: the card network, another company, counts what arrived for the attacker.
- Rows: the ledger's own entries of the attacker's account, with the mark of this attack.
- Answers: what the intruder got to see of services that policy keeps from it.
- Customers: what the load generator's customers suffered.
"""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import httpx

from meshwarden.kernel import DependencyError
from meshwarden.lab.attacks.model import Goal
from meshwarden.lab.attacks.raid import Raid
from meshwarden.lab.stage import Stage

_LOOK_S: Final = 0.2
_TIMEOUT_S: Final = 10.0


@dataclass(slots=True, kw_only=True)
class Judge:
    """Watches the target of one raid.

    Attributes:
        stage: where it happens.
        raid: the attack.
        failed_customers: how many of the customers' requests have failed so far.
        now_ns: time of day in nanoseconds since the epoch.
        succeeded: when the attack did, nanoseconds since the epoch; None: it has not.
        got: what the target shows, in words.
    """

    stage: Stage
    raid: Raid
    failed_customers: Callable[[], int]
    now_ns: Callable[[], int]
    succeeded: int | None = None
    got: str = "nothing"
    _failed_before: int = field(init=False)

    def __post_init__(self) -> None:
        self._failed_before = self.failed_customers()

    async def watch(self) -> None:
        """Look at the target until cancelled; one that is too busy to answer is asked again."""
        while True:
            with contextlib.suppress(DependencyError):
                await self.look()
            await asyncio.sleep(_LOOK_S)

    async def look(self) -> None:
        """Look at the target once; DependencyError where it does not answer."""
        match self.raid.attack.goal:
            case Goal.OCTETS_ARRIVED:
                await self._octets()
            case Goal.ROW_BOOKED:
                await self._rows()
            case Goal.PORT_ANSWERED:
                self._answers()
            case Goal.CUSTOMERS_FAILED:
                self._customers()

    async def _octets(self) -> None:
        received = await self.stage.received()
        if received["requests"] and received["first_s"] is not None:
            self.succeeded = round(received["first_s"] * 1e9)
            self.got = f"{received['requests']} requests, {received['octets']:,} octets arrived"

    async def _rows(self) -> None:
        rows = await self._entries()
        marked = [row for row in rows if row["reference"] == self.raid.foothold.mark]
        if marked:
            self.succeeded = min(row["at_ms"] for row in marked) * 1_000_000
            self.got = f"{len(marked)} rows booked to his account"

    async def _entries(self) -> list[dict[str, Any]]:
        socket = self.stage.layout.app_socket("ledger")
        transport = httpx.AsyncHTTPTransport(uds=str(socket))
        async with httpx.AsyncClient(transport=transport, timeout=_TIMEOUT_S) as client:
            path = f"/v1/accounts/{self.raid.foothold.mule}/entries"
            try:
                answer = await client.get(f"http://ledger{path}")
                answer.raise_for_status()
            except httpx.HTTPError as error:
                raise DependencyError("lab.ledger", f"the ledger is silent: {error}") from error
        rows: list[dict[str, Any]] = answer.json()["entries"]
        return rows

    def _answers(self) -> None:
        answered = [act for act in self.raid.acts if act.answered]
        if answered:
            self.succeeded = min(act.end for act in answered)
            self.got = f"{len(answered)} answers, the first to {answered[0].what}"

    def _customers(self) -> None:
        failed = self.failed_customers() - self._failed_before
        if failed and self.succeeded is None:
            self.succeeded = self.now_ns()
        if failed:
            self.got = f"{failed} requests of customers failed"
