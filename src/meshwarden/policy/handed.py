"""Whom a transaction token can have been handed to, as far as a policy lets anybody hand it on.

Wider than what is meant, never narrower: whoever was called may have received it, whichever rule of
the callee it was, also over a connection (`tcp`); assurance, binding, methods and paths are not
asked about. Scopes are: a rule that demands one which no token of the transaction has lets no call
under it pass.
"""

from collections.abc import Collection, Iterable

from meshwarden.policy.model import AccessPolicy, Rule


def handed_to(
    policy: AccessPolicy, holders: Iterable[str], scopes: Collection[str]
) -> frozenset[str]:
    """Return the identities that may have a token of one transaction, `holders` among them.

    Args:
        policy: in force while it lived.
        holders: SPIFFE IDs of the workloads that asked for a token of it.
        scopes: those of all its tokens together.
    """
    callees: dict[str, set[str]] = {}
    for service in policy.services.values():
        for rule in service.accepts:
            if _lets_pass(rule, scopes):
                for source in rule.sources:
                    callees.setdefault(str(source), set()).add(str(service.identity))
    received: set[str] = set()
    news = set(holders)
    while news:
        received |= news
        news = set().union(*(callees.get(one, set()) for one in news)) - received
    return frozenset(received)


def _lets_pass(rule: Rule, scopes: Collection[str]) -> bool:
    return rule.token is None or set(rule.token.scopes).issubset(scopes)
