"""The guard rails, held over all incidents at once.

One decision at a time: between what the rails see and the entry that says that an action has begun,
no other incident decides. So two that arrive together cannot both be the one that is allowed.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

import structlog

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
_log = structlog.get_logger()


@dataclass(kw_only=True)
class Deciding:
    """What the rails look at.

    Attributes:
        rails: the limits.
        services: tier and instances of each service, as they are now.
        warden: identities that are the warden's own.
        turn: held from a decision until the entry that it leads to.
        automatic: whether anything is done that nobody asked for; people switch it off.
    """

    rails: GuardRails
    services: Callable[[], Mapping[str, ServiceFacts]]
    warden: frozenset[str] = frozenset()
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    automatic: bool = True
    _automatic: deque[int] = field(default_factory=deque)

    def note(self, entry: Entry) -> None:
        """Count an automatic action that touches something; call for every entry, old ones too."""
        if entry.kind is not EntryKind.STARTED or not entry.data["automatic"]:
            return
        if CATALOGUE[entry.data["action"]].reach is not Reach.NOTHING:
            self._automatic.append(entry.time)

    def switch(self, *, on: bool, who: str) -> None:
        """Have nothing done any more that nobody asked for, or again."""
        _log.warning("automatic_response", on=on, who=who)
        self.automatic = on

    def limits(self) -> GuardRails:
        """Return the limits as they hold now: switched off, not one automatic action an hour."""
        return self.rails if self.automatic else replace(self.rails, max_actions_per_hour=0)

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
