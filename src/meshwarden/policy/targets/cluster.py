"""What an access policy does not say about the cluster that is to enforce it.

A policy names identities; a cluster's policies select pods by label, in a namespace. Pods of the
service `ledger` carry the label `app: ledger` (or another key), and its identity
`spiffe://<trust domain>/ns/<namespace>/sa/<account>` says where they run and as whom: the form
that Istio and Linkerd issue. An identity of another form has no place in a cluster.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from meshwarden.kernel import InputError, SpiffeId
from meshwarden.policy.model import AccessPolicy, Service
from meshwarden.policy.targets.unexpressed import Unexpressed

_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_PLACE = re.compile(rf"/ns/({_LABEL})/sa/([a-z0-9](?:[a-z0-9.-]{{0,251}}[a-z0-9])?)")


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenIssuer:
    """Who signs transaction tokens.

    Attributes:
        issuer: the tokens' `iss`. It has to sign nothing but transaction tokens: no mesh checks the
            `typ` of a token.
        jwks_uri: where its keys are fetched, over HTTPS.
        audience: the tokens' `aud`; None for the policy's trust domain.
    """

    issuer: str
    jwks_uri: str
    audience: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """The conventions of one cluster.

    Attributes:
        pod_label: the key of the label whose value is the service's name.
        http_port: number, or name in the pod's ports, of the port that takes requests. Linkerd and
            NetworkPolicy select ports; Istio does not need it.
        domain: DNS domain of the cluster's services.
        token_issuer: who signs transaction tokens; None: rules with `token` allow nothing.
        authorizer: Istio's name of the external authorizer that checks `once`; None: such rules
            allow nothing.
        log_provider: Istio's name of the provider that access logs go to; None: no Telemetry.
        system_namespace: where meshwarden and Istio's providers run.
        linkerd_namespace: where Linkerd's control plane runs; part of its identities.
    """

    pod_label: str = "app"
    http_port: int | str = "http"
    domain: str = "cluster.local"
    token_issuer: TokenIssuer | None = None
    authorizer: str | None = None
    log_provider: str | None = "meshwarden"
    system_namespace: str = "meshwarden-system"
    linkerd_namespace: str = "linkerd"

    @property
    def control_planes(self) -> tuple[str, ...]:
        """The namespaces that every proxy has to reach."""
        return (self.system_namespace, "istio-system", self.linkerd_namespace)


DEFAULT: Final = Cluster()


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Namespace and service account of a workload."""

    namespace: str
    account: str


@lru_cache(maxsize=4096)
def place_of(identity: SpiffeId) -> Place | None:
    """Return where a workload of a cluster runs; None for an identity of another form."""
    found = _PLACE.fullmatch(identity.path)
    return Place(namespace=found[1], account=found[2]) if found else None


def placed(services: Iterable[Service]) -> Iterator[tuple[Service, Place]]:
    """Yield the services that have a place."""
    for service in services:
        place = place_of(service.identity)
        if place is not None:
            yield service, place


def chosen(policy: AccessPolicy, name: str | None) -> list[Service]:
    """Return the service `name`, or all; InputError `policy.unknown_service` for another."""
    if name is None:
        return list(policy.services.values())
    if name not in policy.services:
        raise InputError(
            "policy.unknown_service",
            f"no service is called {name!r}",
            where="policy",
            hint=f"known: {', '.join(list(policy.services)[:20])}",
        )
    return [policy.services[name]]


def about_services(target: str, services: Iterable[Service]) -> Iterator[Unexpressed]:
    """Yield what no target of a cluster can express of a service as a whole."""
    for service in services:
        if place_of(service.identity) is None:
            what = (
                f"{service.identity} is not of the form /ns/<namespace>/sa/<account>: there is no"
                " saying where it runs, and nothing is written for it"
            )
            yield _about(target, service, what)
        elif service.edge:
            what = (
                "it takes traffic from outside the mesh: nothing is opened for that; let it come"
                " through a gateway of the mesh, and name the gateway's identity in a rule"
            )
            yield _about(target, service, what)


def _about(target: str, service: Service, what: str) -> Unexpressed:
    return Unexpressed(target=target, rule=service.name, where=service.where, what=what)
