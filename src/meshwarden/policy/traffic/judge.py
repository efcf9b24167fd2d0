"""What a policy says of recorded calls whose paths are known only in part.

A route stands for a set of paths (`route`). The policy allows all of them: ALLOWED. None of them:
REFUSED. Some: the record does not tell which it was, UNDECIDED; so it is where a rule asks for a
token, which is not recorded. Nothing is ever called allowed, or refused, that might not be.

A policy is not asked about calls that it did not and could not decide (NOT_JUDGED): callers that
proved no identity, callers from outside at an edge, handshakes, malformed requests, containment.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from meshwarden.kernel import EXTERNAL, SpiffeId
from meshwarden.policy.model import AccessPolicy, TokenRequirement
from meshwarden.policy.path import PathPattern
from meshwarden.policy.reach.compiled import CompiledPolicy, Pair
from meshwarden.policy.reach.grant import ANY_PATH, Grant, implies
from meshwarden.policy.traffic.observed import Observed, spiffe_id
from meshwarden.policy.traffic.route import parse_route
from meshwarden.policy.traffic.usage import uses

_ELSEWHERE: Final = ("tls:", "http:", "containment:", "token", "authorizer", "unclean_path")


class Verdict(StrEnum):
    """What a policy says of a combination of calls."""

    ALLOWED = "allowed"
    REFUSED = "refused"
    UNDECIDED = "undecided"
    NOT_JUDGED = "not judged"


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """A verdict, a few words why, and the rule that allows (or may allow) it."""

    verdict: Verdict
    why: str
    rule: str | None = None


class Judge:
    """A policy that is asked about recorded calls.

    Args:
        policy: the policy.
    """

    def __init__(self, policy: AccessPolicy) -> None:
        self.policy = policy
        self.compiled = CompiledPolicy(policy)
        self._tokens: Mapping[str, TokenRequirement | None] = {
            rule.name: rule.token
            for service in policy.services.values()
            for rule in service.accepts
        }

    def token_of(self, seen: Observed) -> TokenRequirement | None:
        """Return what the token of recorded calls said, as the rule that allowed them proves.

        None where no token was asked for, or where the named rule cannot have allowed the calls: it
        was another policy's then.
        """
        if seen.denied or self._tokens.get(seen.rule or "") is None:
            return None
        rules = (rule for rule in uses(self.compiled, seen) if rule.name == seen.rule)
        return next((rule.token for rule in rules), None)

    def judge(self, seen: Observed, held: TokenRequirement | None = None) -> Judgement:
        """Return what the policy says of `seen`; `held` is what its token is known to say."""
        source = spiffe_id(seen.source)
        outside = seen.destination.startswith(EXTERNAL)  # proves nothing to anyone: mtls is false
        if source is None or (seen.mtls is False and not outside):
            return _not_judged("the caller proved no identity of a mesh")
        if seen.denied and (seen.rule or "").startswith(_ELSEWHERE):
            return _not_judged("refused elsewhere than by policy")
        if outside:
            return self._egress(source, seen)
        destination = spiffe_id(seen.destination)
        if destination is None:
            return _not_judged("the callee is not known")
        if self.policy.service_with(destination) is None:
            return _refused("the callee is no service of this policy")
        pair = self.compiled.pair(source, destination) or Pair()
        if seen.protocol in {"http", "grpc"} or seen.route is not None:
            return _request(pair, seen, held)
        if seen.protocol == "tcp":
            return _connection(pair, seen.port)
        return _not_judged(f"policies do not speak of {seen.protocol}")

    def _egress(self, source: SpiffeId, seen: Observed) -> Judgement:
        caller = self.policy.service_with(source)
        host = seen.destination.removeprefix(EXTERNAL)
        listed = [each for each in (caller.egress if caller else ()) if each.host == host]
        if any(seen.port in {None, each.port} for each in listed) and caller is not None:
            rule = f"{caller.name}.egress"
            return Judgement(verdict=Verdict.ALLOWED, why="the host is listed", rule=rule)
        return _refused("the outside host is not listed")


def _request(pair: Pair, seen: Observed, held: TokenRequirement | None) -> Judgement:
    routes = ANY_PATH if seen.route is None else (parse_route(seen.route),)
    known = [route for route in routes if route is not None]
    if not known:
        return _refused("its path is one that every policy refuses")
    met = [grant for route in known for grant in pair.tree.meeting(route)]
    met = [grant for grant in met if seen.method is None or grant.takes(seen.method)]
    if not met:
        return _refused("no rule allows it")
    first = min(met, key=lambda grant: grant.order)
    free = [grant for grant in met if implies(held, grant.rule.token)]
    covering = [grant for grant in free if seen.method is not None or grant.rule.methods is None]
    if covering and all(_covers(pair, route, covering) for route in known):
        rule = min(covering, key=lambda grant: grant.order).rule.name
        return Judgement(verdict=Verdict.ALLOWED, why=f"{rule} allows it", rule=rule)
    why = "the token" if not free else "the method" if not covering else "a segment of the path"
    why = f"{why} is not recorded"
    return Judgement(verdict=Verdict.UNDECIDED, why=why, rule=first.rule.name)


def _covers(pair: Pair, route: PathPattern, grants: list[Grant]) -> bool:
    return pair.tree.uncovered(route, frozenset(grants).__contains__) is None


def _connection(pair: Pair, port: int | None) -> Judgement:
    if port is None and pair.tcp:
        rule = next(iter(pair.tcp.values())).rule.name
        return Judgement(verdict=Verdict.UNDECIDED, why="the port is not recorded", rule=rule)
    grant = pair.tcp.get(port or 0)
    if grant is None:
        return _refused("no rule allows it")
    name = grant.rule.name
    return Judgement(verdict=Verdict.ALLOWED, why=f"{name} allows it", rule=name)


def _refused(why: str) -> Judgement:
    return Judgement(verdict=Verdict.REFUSED, why=why)


def _not_judged(why: str) -> Judgement:
    return Judgement(verdict=Verdict.NOT_JUDGED, why=why)
