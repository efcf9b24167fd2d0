"""Who can have been handed a transaction token at all, by any policy that was in force meanwhile.

A sidecar that is cut off keeps the policy that it had, so that policies are remembered for
`KEEP_S`. Where that cannot be told (a transaction that is older than this process, more changes
than are remembered), nobody is said to be outside.
"""

from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Final

from meshwarden.kernel import Clock
from meshwarden.policy import AccessPolicy, handed_to
from meshwarden.tokens import Holder

KEEP_S: Final = 3600.0
MAX_POLICIES: Final = 32
MAX_REMEMBERED: Final = 4096

_Known = dict[tuple[frozenset[str], frozenset[str]], frozenset[str]]


@dataclass(kw_only=True)
class Handing:
    """The policies by which tokens are handed on.

    Attributes:
        clock: the time of day.
    """

    clock: Clock
    _policies: list[AccessPolicy] = field(init=False, default_factory=list)
    _ended: deque[float] = field(init=False, default_factory=deque)
    _begun: float = field(init=False)
    _reached: _Known = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self._begun = self.clock.now().timestamp()

    def follow(self, policy: AccessPolicy) -> None:
        """Take `policy` as the one in force from now on."""
        if self._policies and self._policies[-1] is policy:
            return
        now = self.clock.now().timestamp()
        if self._policies:
            self._ended.append(now)
        self._policies.append(policy)
        while self._ended and self._ended[0] < now - KEEP_S:
            self._ended.popleft()
            self._policies.pop(0)
        self._reached.clear()

    def outside(self, holders: Sequence[Holder], sources: Collection[str]) -> frozenset[str]:
        """Return those of `sources` that nobody can have handed a token of one transaction.

        Only services of the mesh are told: how a token may come to others, no policy says.

        Args:
            holders: who asked for tokens of it.
            sources: SPIFFE IDs of those that presented one.
        """
        unknown = not holders or min(one.since for one in holders) <= self._begun
        if unknown or not self._policies or len(self._policies) > MAX_POLICIES:
            return frozenset()
        latest = self._policies[-1].services.values()
        services = {str(service.identity) for service in latest}
        return frozenset(sources) & services - self._may_have(holders)

    def _may_have(self, holders: Sequence[Holder]) -> frozenset[str]:
        who = frozenset(one.requester for one in holders)
        scopes = frozenset(scope for one in holders for scope in one.scopes)
        known = self._reached.get((who, scopes))
        if known is None:
            if len(self._reached) >= MAX_REMEMBERED:
                self._reached.clear()
            known = frozenset().union(*(handed_to(one, who, scopes) for one in self._policies))
            self._reached[who, scopes] = known
        return known
