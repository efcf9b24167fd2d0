"""The guard rails, held over all incidents at once.

One decision at a time: between what the rails see and the entry that says that an action has begun,
no other incident decides. So two that arrive together cannot both be the one that is allowed.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from meshwarden.response import (
    CATALOGUE,
    Entry,
    EntryKind,
    GuardRails,
    Incident,
    Reach,
    ServiceFacts,
    World,
    world_of,
)

HOUR: Final = 3600 * 10**9


@dataclass(kw_only=True)
class Deciding:
    """What the rails look at.

    Attributes:
        rails: the limits.
        services: tier and instances of each service, as they are now.
        warden: identities that are the warden's own.
        turn: held from a decision until the entry that it leads to.
    """

    rails: GuardRails
    services: Callable[[], Mapping[str, ServiceFacts]]
    warden: frozenset[str] = frozenset()
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    _automatic: deque[int] = field(default_factory=deque)

    def note(self, entry: Entry) -> None:
        """Count an automatic action that touches something; call for every entry, old ones too."""
        if entry.kind is not EntryKind.STARTED or not entry.data["automatic"]:
            return
        if CATALOGUE[entry.data["action"]].reach is not Reach.NOTHING:
            self._automatic.append(entry.time)

    def world(self, others: Iterable[Incident], *, now: int) -> World:
        """Return the world as it is for one incident; `others` are all but that one."""
        while self._automatic and self._automatic[0] <= now - HOUR:
            self._automatic.popleft()
        return world_of(
            self.services(),
            others,
            actions_last_hour=len(self._automatic),
            warden=self.warden,
        )
