"""A policy without some of its services: what is in force while they are in quarantine."""

from collections.abc import Collection
from dataclasses import replace

from meshwarden.policy.model import AccessPolicy, Rule, Service


def isolate(policy: AccessPolicy, services: Collection[str]) -> AccessPolicy:
    """Return `policy` in which `services` call nobody and nobody calls them.

    All else is allowed as before, under the same names of rules. It only ever narrows: whatever the
    result allows, `policy` allows too.
    """
    if not services:
        return policy
    cut_off = {policy.services[name].identity for name in services if name in policy.services}

    def _rest(service: Service) -> Service:
        if service.identity in cut_off:
            return replace(service, accepts=(), egress=())
        return replace(service, accepts=tuple(_rules(service)))

    def _rules(service: Service) -> list[Rule]:
        found = []
        for rule in service.accepts:
            sources = tuple(one for one in rule.sources if one not in cut_off)
            if sources:
                found.append(rule if sources == rule.sources else replace(rule, sources=sources))
        return found

    return AccessPolicy(
        trust_domain=policy.trust_domain,
        services={name: _rest(service) for name, service in policy.services.items()},
    )
