"""The access policy as prior knowledge of the behaviour model."""

from typing import Final

from meshwarden.kernel import InputError, SpiffeId
from meshwarden.kernel.call import EXTERNAL
from meshwarden.policy import AccessPolicy, Egress
from meshwarden.policy.reach.compiled import CompiledPolicy, Pair
from meshwarden.policy.reach.tree import FRESH

_HOLE: Final = "{}"  # of a route: some segment, whichever


class DeclaredPolicy:
    """What an access policy says about a call, as the model knows calls: by route, without token.

    Another thread may `replace` the policy meanwhile: each question is answered by one of them.

    Args:
        policy: the policy. A destination that it does not know is nobody's declared edge.
    """

    def __init__(self, policy: AccessPolicy) -> None:
        self._declared = (policy, CompiledPolicy(policy))

    def replace(self, policy: AccessPolicy) -> None:
        """Go by `policy` from now on; what was asked before stays answered."""
        self._declared = (policy, CompiledPolicy(policy))

    def allows(
        self, source: str, destination: str, method: str | None, route: str | None
    ) -> bool | None:
        """Return whether some rule allows such a call; None where no rule could speak about it."""
        policy, compiled = self._declared
        caller = _identity(source)
        if caller is None:
            return None
        if destination.startswith(EXTERNAL):
            service = policy.service_with(caller)
            return None if service is None else _leaves(service.egress, destination)
        callee = _identity(destination)
        if callee is None or policy.service_with(callee) is None:
            return None
        pair = compiled.pair(caller, callee)
        if pair is None:
            return False
        return bool(pair.tcp) if route is None else _matches(pair, method, route)


def _identity(text: str) -> SpiffeId | None:
    try:
        return SpiffeId.parse(text)
    except InputError:
        return None


def _leaves(egress: tuple[Egress, ...], destination: str) -> bool | None:
    """Return False for a host that is not listed; what is done at one that is, is not said."""
    host = destination.removeprefix(EXTERNAL).partition(":")[0]
    return None if any(each.host == host for each in egress) else False


def _matches(pair: Pair, method: str | None, route: str) -> bool:
    segments = [FRESH if each == _HOLE else each for each in route[1:].split("/")]
    return any(
        grant.methods is None or method in grant.methods for grant in pair.tree.matching(segments)
    )
