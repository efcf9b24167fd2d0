"""All objects of a policy, one file for each service and each namespace."""

from typing import Any, Final

from meshwarden.policy.model import AccessPolicy
from meshwarden.policy.targets.cluster import DEFAULT, Cluster, about_services, chosen, placed
from meshwarden.policy.targets.istio.authorization import (
    TARGET,
    ServiceRules,
    authorization_objects,
)
from meshwarden.policy.targets.istio.egress import callees_by_caller, egress_objects, lost_egress
from meshwarden.policy.targets.istio.namespace import namespace_objects
from meshwarden.policy.targets.manifest import Compiled
from meshwarden.policy.targets.unexpressed import Unexpressed

REMARKS: Final = (
    "templates ({name}, /**) need Istio 1.22, and refuse segments that hold *, [ or ]",
    "ports of `tcp` rules must be declared as TCP (appProtocol: tcp) in their Service",
)


def compile_policy(
    policy: AccessPolicy, cluster: Cluster = DEFAULT, service_name: str | None = None
) -> Compiled:
    """Return Istio's objects for one service (for all, where None)."""
    services = chosen(policy, service_name)
    lost: list[Unexpressed] = [*about_services(TARGET, services)]
    callees = callees_by_caller(policy, cluster)
    files: dict[str, Any] = {}
    for service, place in placed(services):
        rules = ServiceRules(service=service, cluster=cluster)
        rules.translate()
        lost += [*rules.lost, *lost_egress(service)]
        files[f"namespace.{place.namespace}.yaml"] = list(
            namespace_objects(place.namespace, cluster)
        )
        files[f"{service.name}.yaml"] = [
            *authorization_objects(policy, rules, place.namespace),
            *egress_objects(service, place, cluster, callees.get(str(service.identity), ())),
        ]
    return Compiled(files=files, unexpressed=tuple(lost), remarks=REMARKS)
