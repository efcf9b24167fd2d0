"""What is learned from calls, as facts: rules, outside hosts, and the evidence for each."""

from dataclasses import dataclass, field
from typing import Final

from meshwarden.kernel import SpiffeId
from meshwarden.policy.path import PathPattern
from meshwarden.policy.traffic.observed import Observed, Support
from meshwarden.policy.traffic.templates import MIN_EXAMPLES

HTTPS: Final = 443  # of an outside host whose port was not recorded; the rule says so


@dataclass(frozen=True, slots=True, kw_only=True)
class LearnSettings:
    """How much it takes to learn.

    Attributes:
        trust_domain: of the services; None = that of the existing policy, else of most callees.
        min_calls: a caller's method and path pattern with fewer calls is left out.
        min_days: so is one that was seen on fewer days.
        min_examples: different identifiers that it takes to make a placeholder of them.
        unproven: learn also from callers whose identity was not proved (mutual TLS missing).
        suspects: names of combinations (`Observed.name`) that findings are about.
    """

    trust_domain: str | None = None
    min_calls: int = 1
    min_days: int = 1
    min_examples: int = MIN_EXAMPLES
    unproven: bool = False
    suspects: frozenset[str] = frozenset()


@dataclass(slots=True, kw_only=True)
class LearnedRule:
    """One rule about requests (`methods`, `paths`) or connections (`tcp`)."""

    sources: tuple[SpiffeId, ...]
    methods: tuple[str, ...] = ()
    paths: tuple[PathPattern, ...] = ()
    tcp: int | None = None
    support: Support = field(default_factory=Support)


@dataclass(slots=True, kw_only=True)
class LearnedHost:
    """One outside host; `assumed` where the record has no port."""

    host: str
    port: int
    assumed: bool
    support: Support = field(default_factory=Support)


@dataclass(slots=True, kw_only=True)
class LearnedService:
    """What was seen of one service."""

    identity: SpiffeId
    edge: bool = False
    rules: list[LearnedRule] = field(default_factory=list)
    egress: list[LearnedHost] = field(default_factory=list)


@dataclass(slots=True, kw_only=True)
class Learned:
    """What was learned.

    Attributes:
        trust_domain: of all services.
        services: by identity, in the order of identities.
        support: of all calls that taught something.
        unseen_share: Good-Turing estimate, 0..1.
        left_out: what taught nothing, with the reason.
    """

    trust_domain: str
    services: dict[SpiffeId, LearnedService] = field(default_factory=dict)
    support: Support = field(default_factory=Support)
    unseen_share: float = 1.0
    left_out: list[tuple[Observed, str]] = field(default_factory=list)

    def service(self, identity: SpiffeId) -> LearnedService:
        """Return the service, added where it was not known."""
        return self.services.setdefault(identity, LearnedService(identity=identity))
