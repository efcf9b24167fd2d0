"""The reference evaluator: what a policy answers. Every compiled target must agree with it.

Rules that hold here:

- Nothing is allowed that no rule allows; one rule that allows is enough; their order is irrelevant
  to the answer (where several allow, the first in the file is named; a target may name another).
- A rule about requests never allows a connection, nor the other way round.
- A request whose path is not clean (`normalize_path`) is refused by every policy.
- A rule with `token` allows only with claims that satisfy it. `claims` are those of a token that
  was verified elsewhere; None means there was none. `once` needs a store: it is not decided here.
"""

from meshwarden.kernel import Decision
from meshwarden.policy.fix import suggest_fix
from meshwarden.policy.match import Claims, misses
from meshwarden.policy.model import AccessPolicy, Connection, HttpRequest
from meshwarden.policy.path import normalize_path


def decide(
    policy: AccessPolicy, asked: HttpRequest | Connection, claims: Claims | None = None
) -> Decision:
    """Return whether `policy` lets `asked` pass, by which rule, and what would change a refusal.

    Args:
        policy: the policy.
        asked: a request or a connection.
        claims: the claims of the caller's verified transaction token; None where there is none.
    """
    callee = policy.service_with(asked.destination)
    if callee is None:
        return _refused(f"{asked.destination} is no service of this policy")
    if isinstance(asked, HttpRequest) and normalize_path(asked.path) is None:
        return _refused("its path is one that every policy refuses (malformed or ambiguous)")
    for rule in callee.accepts:
        if not misses(rule, asked, claims):
            return Decision(allowed=True, rule=rule.name, reason=f"{rule.name} allows it")
    return _refused(
        f"no rule of {callee.name} allows it", suggest_fix(policy, callee, asked, claims)
    )


def _refused(reason: str, fix: str | None = None) -> Decision:
    return Decision(allowed=False, rule=None, reason=reason, fix=fix)
