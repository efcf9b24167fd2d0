"""Guard rails: what a response may never do by itself, judged before every action.

Whoever can make us isolate the ledger has a cheaper attack than any other. So each rail only ever
narrows: it lets pass, asks for people, or stops. Rails and what each said are kept with every
decision. What stops a rail by rights is never overridden by approvals (`warden`, `circuit`);
what asks for people can be approved.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from meshwarden.response.catalogue import CATALOGUE, ActionSpec, Reach
from meshwarden.response.model import Suspect


class Outcome(StrEnum):
    """What a rail says, from mildest to strictest."""

    PASS = "pass"  # noqa: S105  # not that kind
    APPROVAL = "approval"
    STOP = "stop"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruling:
    """What one rail said: its name, the outcome, how many people it asks for, and why."""

    rail: str
    outcome: Outcome
    approvals: int = 0
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What all rails say together about one step."""

    rulings: tuple[Ruling, ...]

    @property
    def stopped(self) -> bool:
        """Whether no approval can help."""
        return any(one.outcome is Outcome.STOP for one in self.rulings)

    @property
    def approvals(self) -> int:
        """How many different people have to approve."""
        return max((one.approvals for one in self.rulings), default=0)

    @property
    def reason(self) -> str:
        """Why it does not simply pass; "" where it does."""
        return "; ".join(one.reason for one in self.rulings if one.outcome is not Outcome.PASS)


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardRails:
    """The limits that people set; the module's text says what each is. Defaults are strict."""

    max_contained: int = 2
    max_share: float = 0.5
    last_instance_tiers: frozenset[int] = frozenset({0})
    last_edge_instance: bool = True
    max_actions_per_hour: int = 20
    protected: frozenset[str] = frozenset()
    two_people: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceFacts:
    """A service now: its tier, how many instances are what, whether customers reach it."""

    tier: int | None = None
    instances: int = 1
    healthy: int = 1
    contained: int = 0
    edge: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What the rails look at.

    Attributes:
        services: by name; a service that is not here is unknown, and unknown is no.
        contained: instances that other incidents contain now.
        actions_last_hour: automatic actions beyond looking, within the last hour.
        warden: identities that are the warden's own.
    """

    services: Mapping[str, ServiceFacts] = field(default_factory=dict)
    contained: int = 0
    actions_last_hour: int = 0
    warden: frozenset[str] = frozenset()


def judge(
    action: str,
    suspect: Suspect,
    world: World,
    rails: GuardRails,
    *,
    automatic: bool,
    already_contained: bool = False,
) -> Verdict:
    """Return what every rail says about carrying out `action` on `suspect`.

    Args:
        action: a name of the catalogue.
        suspect: on whom.
        world: as it is now.
        rails: the limits.
        automatic: whether no person asked for it.
        already_contained: whether this incident has cut the suspect off already: what follows takes
            nothing more away from the business.
    """
    spec = CATALOGUE[action]
    rulings = [_warden(suspect, world, spec)]
    if spec.reach is not Reach.NOTHING:
        rulings += _limits(spec, suspect, world, rails, automatic=automatic)
    if spec.reach is Reach.INSTANCE and not already_contained:
        rulings += _blast_radius(suspect, world, rails)
    return Verdict(rulings=tuple(rulings))


def _warden(suspect: Suspect, world: World, spec: ActionSpec) -> Ruling:
    if suspect.identity in world.warden and spec.reach is not Reach.NOTHING:
        return _stop("warden", "the warden never acts on itself")
    return _pass("warden")


def _limits(
    spec: ActionSpec, suspect: Suspect, world: World, rails: GuardRails, *, automatic: bool
) -> Iterator[Ruling]:
    if automatic and world.actions_last_hour >= rails.max_actions_per_hour:
        yield _stop(
            "circuit",
            f"{world.actions_last_hour} automatic actions within an hour: only observing"
            " until people look",
        )
    else:
        yield _pass("circuit")
    if suspect.identity in rails.protected:
        yield _ask("protected", 1, f"{suspect.identity} is protected")
    else:
        yield _pass("protected")
    if spec.name in rails.two_people:
        yield _ask("two-people", 2, f"{spec.name} is for two people to approve")
    else:
        yield _pass("two-people")


def _blast_radius(suspect: Suspect, world: World, rails: GuardRails) -> Iterator[Ruling]:
    facts = world.services.get(suspect.service)
    if facts is None:
        yield _stop("known", f"{suspect.service} is no service of this mesh")
        return
    if world.contained >= rails.max_contained:
        yield _ask("max-contained", 1, f"{world.contained} instances are contained already")
    else:
        yield _pass("max-contained")
    allowed = max(1, int(facts.instances * rails.max_share))
    if facts.contained >= allowed:
        yield _ask(
            "max-share", 1, f"{facts.contained} of {facts.instances} of {suspect.service} already"
        )
    else:
        yield _pass("max-share")
    if facts.tier in rails.last_instance_tiers and facts.healthy <= 1:
        yield _ask(
            "last-instance",
            1,
            f"it is the last healthy instance of {suspect.service} (tier {facts.tier})",
        )
    elif rails.last_edge_instance and facts.edge and facts.healthy <= 1:
        yield _ask(
            "last-instance", 1, f"it is the last healthy instance of {suspect.service}, an edge"
        )
    else:
        yield _pass("last-instance")


def _pass(rail: str) -> Ruling:
    return Ruling(rail=rail, outcome=Outcome.PASS, reason="")


def _ask(rail: str, approvals: int, reason: str) -> Ruling:
    return Ruling(rail=rail, outcome=Outcome.APPROVAL, approvals=approvals, reason=reason)


def _stop(rail: str, reason: str) -> Ruling:
    return Ruling(rail=rail, outcome=Outcome.STOP, reason=reason)
