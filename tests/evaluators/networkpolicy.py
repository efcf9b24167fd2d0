"""What NetworkPolicies mean: kubernetes.io, Network Policies.

A pod that no policy selects for ingress takes everything; one that some select takes what any of
them allows. Only TCP is asked here.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Pod:
    """Where a pod runs, its labels, and its named ports."""

    namespace: str
    labels: Mapping[str, str]
    ports: Mapping[str, int]


def connects(objects: Iterable[Mapping[str, Any]], source: Pod, target: Pod, port: int) -> bool:
    """Return whether both sides' policies let a connection pass."""
    policies = list(objects)
    return _side(policies, source, target, target, port, "Egress") and _side(
        policies, target, source, target, port, "Ingress"
    )


def _side(
    policies: list[Mapping[str, Any]], own: Pod, peer: Pod, callee: Pod, port: int, way: str
) -> bool:
    rules, peers = ("ingress", "from") if way == "Ingress" else ("egress", "to")
    selecting = [
        one["spec"]
        for one in policies
        if one["metadata"]["namespace"] == own.namespace
        and _labels(one["spec"]["podSelector"], own.labels)
        and way in one["spec"]["policyTypes"]
    ]
    return not selecting or any(
        (peers not in rule or any(_peer(one, peer) for one in rule[peers]))
        and ("ports" not in rule or any(_port(one, callee, port) for one in rule["ports"]))
        for spec in selecting
        for rule in spec[rules]
    )


def _peer(peer: Mapping[str, Any], pod: Pod) -> bool:
    spaces = {"kubernetes.io/metadata.name": pod.namespace}
    return _labels(peer["namespaceSelector"], spaces) and _labels(
        peer.get("podSelector", {}), pod.labels
    )


def _port(wanted: Mapping[str, Any], pod: Pod, port: int) -> bool:
    number = wanted["port"]
    number = number if isinstance(number, int) else pod.ports.get(number)
    return wanted["protocol"] == "TCP" and number == port


def _labels(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    return all(labels.get(key) == value for key, value in selector.get("matchLabels", {}).items())
