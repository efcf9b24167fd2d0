"""Completes what is known of a new caller before it is answered.

The digest of its executable is computed where some registration asks for one, off the event loop. A
process that was started a moment ago may be ahead of its own registration: the supervisor writes
down what it started after starting it. Such a process is waited for, shortly; no other is, so that
strangers learn nothing from the time an answer takes.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from meshwarden.adapters.spiffe.attestation import Digests, Peer, age_s
from meshwarden.identity import ProcessFacts, Registration, match_registrations

YOUNG_S: Final = 2.0
PATIENCE_S: Final = 1.0
LOOK_S: Final = 0.02


@dataclass(kw_only=True)
class Admission:
    """Decides what has to be found out about a peer; called for each new connection.

    Attributes:
        known: the registrations in force now.
    """

    known: Callable[[], Sequence[Registration]]
    _digests: Digests = field(init=False, default_factory=Digests)

    def __call__(self, peer: Peer) -> ProcessFacts | Awaitable[ProcessFacts]:
        """Return the facts, or what has to be awaited for them."""
        known = self.known()
        wants_digest = any(one.selectors.sha256 for one in known)
        if wants_digest or (
            age_s(peer.facts) < YOUNG_S and not match_registrations(peer.facts, known)
        ):
            return self._complete(peer, digest=wants_digest)
        return peer.facts

    async def _complete(self, peer: Peer, *, digest: bool) -> ProcessFacts:
        facts = peer.facts
        if digest:
            found = await asyncio.to_thread(self._digests.of_process, peer)
            facts = replace(facts, sha256=found)
        tries = round(PATIENCE_S / LOOK_S) if age_s(facts) < YOUNG_S else 0
        for _ in range(tries):
            if self._is_known(facts):
                break
            await asyncio.sleep(LOOK_S)
        return facts

    def _is_known(self, facts: ProcessFacts) -> bool:
        return bool(match_registrations(facts, self.known()))
