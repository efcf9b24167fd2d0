"""Which products' policy the input holds, and each read by its own reader."""

from collections import Counter
from collections.abc import Iterable, Sequence
from enum import StrEnum

from meshwarden.policy.gate.model import Family, Subject
from meshwarden.policy.intake.draft import Draft
from meshwarden.policy.intake.istio import read_istio
from meshwarden.policy.intake.linkerd import GROUP, read_linkerd
from meshwarden.policy.intake.networkpolicy import NetworkReader
from meshwarden.policy.intake.workloads import Workloads, annotated_identities

DEFAULT_TRUST_DOMAIN = "cluster.local"


class Layer(StrEnum):
    """Something that enforces."""

    ISTIO = "istio"
    LINKERD = "linkerd"
    NETWORKPOLICY = "networkpolicy"


def layers_in(subjects: Iterable[Subject]) -> list[Layer]:
    """Return the layers that some object is of."""
    found = {
        Layer.LINKERD
        if subject.group == GROUP
        else Layer.ISTIO
        if subject.group == "security.istio.io" and subject.kind == "AuthorizationPolicy"
        else Layer.NETWORKPOLICY
        for subject in subjects
        if subject.group in {GROUP, "security.istio.io"}
        or (subject.group, subject.kind) == ("networking.k8s.io", "NetworkPolicy")
        if not (subject.group == "security.istio.io" and subject.kind != "AuthorizationPolicy")
    }
    return sorted(found)


def read_layer(
    layer: Layer,
    subjects: Sequence[Subject],
    *,
    trust_domain: str | None = None,
    http_port: int | str = "http",
) -> Draft:
    """Return what one layer allows.

    Args:
        layer: whose objects are read; others say at most who runs where.
        subjects: all objects of the input.
        trust_domain: of the workloads; None: our annotations', or what most principals have.
        http_port: number or name of the port of requests (NetworkPolicy).
    """
    kubernetes = [one for one in subjects if one.family is Family.KUBERNETES]
    domain = trust_domain or _trust_domain(kubernetes)
    workloads = Workloads(trust_domain=domain)
    workloads.learn(kubernetes)
    draft = Draft(workloads=workloads)
    if layer is Layer.ISTIO:
        read_istio(kubernetes, draft)
    elif layer is Layer.LINKERD:
        read_linkerd(kubernetes, draft)
    else:
        NetworkReader(draft, http_port).read(kubernetes)
    return draft


def _trust_domain(subjects: Sequence[Subject]) -> str:
    counts = Counter(identity.trust_domain for identity in annotated_identities(subjects))
    if not counts:
        for layer_reader in (read_istio, read_linkerd):
            draft = Draft(workloads=Workloads(trust_domain=DEFAULT_TRUST_DOMAIN))
            layer_reader(subjects, draft)
            counts.update(
                s.trust_domain for r in draft.rules.values() for one in r for s in one.sources
            )
    return counts.most_common(1)[0][0] if counts else DEFAULT_TRUST_DOMAIN
