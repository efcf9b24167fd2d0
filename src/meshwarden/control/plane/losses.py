"""Says what only the sidecars' own counters know: calls in no record, requests that nobody decided.

A full disk refuses the sidecars' lines first; while the control plane is away, an edge refuses what
it would have had to ask. The counters are read now and then; what is new is told, not more often
than once a minute for each sidecar, and with the number of all. A sidecar that was started again
counts from zero.
"""

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from meshwarden.adapters.envoy.admin import failed_log_writes, undecided_requests
from meshwarden.kernel import Clock, DependencyError

LOOK_S: Final = 5.0
SAY_AGAIN: Final = timedelta(minutes=1)


@dataclass(slots=True)
class _Sidecar:
    """What one sidecar has counted, what of it was told, and when."""

    counter: int = 0
    total: int = 0
    told: int = 0
    told_at: datetime | None = None


def lost(service: str, total: int) -> str:
    """Return the sentence about calls that are in no record."""
    return (
        f"The sidecar of {service} could not write to its access log {total} times so far: as many"
        " calls or more are missing from the record (is the disk full?)"
    )


def undecided(service: str, total: int) -> str:
    """Return the sentence about requests that were refused because nobody decided them."""
    return (
        f"The sidecar of {service} refused {total} requests so far (503) because the authorizer did"
        " not answer in time: was the control plane away, or is it too slow?"
    )


@dataclass(slots=True)
class Losses:
    """What has been lost so far, by service; `sentence` says it."""

    sentence: Callable[[str, int], str] = lost
    _sidecars: dict[str, _Sidecar] = field(default_factory=dict)

    def observe(
        self, counters: Mapping[str, int], *, now: datetime, tell: Callable[[str, str], None]
    ) -> None:
        """Take in the sidecars' counters; `tell` is given a service and a sentence about it."""
        for service, counter in counters.items():
            known = self._sidecars.setdefault(service, _Sidecar())
            known.total += counter - known.counter if counter >= known.counter else counter
            known.counter = counter
            quiet = known.told_at is not None and timedelta() <= now - known.told_at < SAY_AGAIN
            if known.total > known.told and not quiet:
                known.told, known.told_at = known.total, now
                tell(service, self.sentence(service, known.total))


async def watch_losses(
    admins: Mapping[str, Path], clock: Clock, tell: Callable[[str, str], None]
) -> None:
    """Look for lost calls at the sidecars behind the admin sockets `admins` until cancelled."""
    await _watch(admins, clock, tell, failed_log_writes, Losses(lost))


async def watch_undecided(
    admins: Mapping[str, Path], clock: Clock, tell: Callable[[str, str], None]
) -> None:
    """Look for requests that nobody decided, in the same way."""
    await _watch(admins, clock, tell, undecided_requests, Losses(undecided))


async def _watch(
    admins: Mapping[str, Path],
    clock: Clock,
    tell: Callable[[str, str], None],
    read: Callable[[Path], int],
    losses: Losses,
) -> None:
    while True:
        await asyncio.sleep(LOOK_S)
        counters = await asyncio.to_thread(_read_counters, admins, read)
        losses.observe(counters, now=clock.now(), tell=tell)


def _read_counters(admins: Mapping[str, Path], read: Callable[[Path], int]) -> dict[str, int]:
    found = {}
    for name, admin in admins.items():
        with contextlib.suppress(DependencyError):  # it is being started again
            found[name] = read(admin)
    return found
