"""What the rest of the same input says about one object.

Rules see one object at a time, so that they run unchanged under OPA and conftest. What they must
know of others is worked out here once and handed to them under `CONTEXT`: whether a mesh and mutual
TLS reach the object, whether any policy limits its callers, what its service account is for.

`index` walks all subjects once; `context_of` answers for one. Selectors are compared by equality of
labels; what is harder to tell (matchExpressions) counts as selecting, so that nothing is reported
on a guess.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from meshwarden.policy.gate.kinds import CLUSTER_TEMPLATES
from meshwarden.policy.gate.model import Family, Subject

ROOT_NAMESPACES = frozenset({"istio-system", "istio-config"})
LIMITING = frozenset(
    {"AuthorizationPolicy", "NetworkPolicy", "ServerAuthorization", "Server", "CiliumNetworkPolicy"}
)
EVERYWHERE = frozenset({"CiliumClusterwideNetworkPolicy", "GlobalNetworkPolicy"})


@dataclass(slots=True, kw_only=True)
class World:
    """What is known of all subjects together.

    Attributes:
        meshed: namespaces that join a mesh, by mesh (`istio`, `linkerd`).
        strict: namespaces in which a policy demands mutual TLS; "*" for the whole mesh.
        lax: namespaces in which a policy waives it.
        limits: selectors of policies that limit callers, by namespace; "*" for all.
        automount: service accounts (namespace, name) and whether they mount tokens.
        bound: service accounts that some role binding names.
        defaults: resources that a LimitRange limits by default, by namespace.
        meshed_pods: labels of pods that join a mesh by themselves, by namespace.
        encrypted_buckets: addresses of buckets that another resource encrypts.
        redirecting: Gateways (namespace, name) with a route that redirects to HTTPS.
    """

    meshed: dict[str, str] = field(default_factory=dict)
    strict: set[str] = field(default_factory=set)
    limits: dict[str, list[Mapping[str, Any]]] = field(default_factory=lambda: defaultdict(list))
    automount: dict[tuple[str, str], bool] = field(default_factory=dict)
    bound: set[tuple[str, str]] = field(default_factory=set)
    defaults: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    meshed_pods: dict[str, list[Mapping[str, Any]]] = field(
        default_factory=lambda: defaultdict(list)
    )
    encrypted_buckets: set[str] = field(default_factory=set)
    redirecting: set[tuple[str, str]] = field(default_factory=set)


def index(subjects: Iterable[Subject]) -> World:
    """Return what `subjects` say together."""
    world = World()
    buckets: list[Subject] = []
    for subject in subjects:
        if subject.family is Family.KUBERNETES:
            _note(world, subject)
        elif subject.kind.startswith("aws_s3_bucket"):
            buckets.append(subject)
    _note_buckets(world, buckets)
    return world


def context_of(subject: Subject, world: World) -> dict[str, Any]:
    """Return what `world` says about `subject`, as the rules' input shows it."""
    if subject.family is Family.TERRAFORM:
        return {"encrypted_buckets": sorted({subject.name} & world.encrypted_buckets)}
    if subject.family is not Family.KUBERNETES:
        return {}
    if subject.kind == "Namespace":
        return _protection(world, subject.name)
    space = subject.namespace or "default"
    if subject.kind == "Service":
        pods = _mapping(subject.value, "spec", "selector")
        joined = any(_selects(pods, labels) for labels in world.meshed_pods[space]) and pods
        found = _protection(world, space)
        return {**found, "mesh": found["mesh"] or ("pods" if joined else "")}
    if subject.kind == "Gateway":
        return {"redirected": (space, subject.name) in world.redirecting}
    if "workload" not in subject.tags:
        return {}
    return _of_workload(subject, world, space)


def _of_workload(subject: Subject, world: World, space: str) -> dict[str, Any]:
    labels = _pod_labels(subject)
    limits = [*world.limits.get(space, ()), *world.limits.get("*", ())]
    account = (space, str(_pod(subject).get("serviceAccountName") or "default"))
    found: dict[str, Any] = {
        "authorization": any(_selects(selector, labels) for selector in limits),
        "service_account_bound": account in world.bound,
        "default_limits": sorted(world.defaults.get(space, ())),
    }
    if account in world.automount:
        found["service_account_automount"] = world.automount[account]
    return found


def _protection(world: World, space: str) -> dict[str, Any]:
    strict = space in world.strict or "*" in world.strict
    return {"mesh": world.meshed.get(space, ""), "mtls": "STRICT" if strict else ""}


def _note(world: World, subject: Subject) -> None:
    value, kind, space = subject.value, subject.kind, subject.namespace or "default"
    if kind == "Namespace":
        _note_mesh(world, subject.name, value)
    elif kind == "PeerAuthentication":
        _note_mtls(world, value, space)
    elif kind in LIMITING and not _allows_nothing_new(kind, value):
        root = kind == "AuthorizationPolicy" and space in ROOT_NAMESPACES
        world.limits["*" if root else space].append(_selector(value))
    elif kind in EVERYWHERE:
        world.limits["*"].append(_selector(value))
    elif kind == "ServiceAccount" and isinstance(value.get("automountServiceAccountToken"), bool):
        world.automount[space, subject.name] = value["automountServiceAccountToken"]
    elif kind in {"RoleBinding", "ClusterRoleBinding"}:
        _note_binding(world, value, space)
    elif kind == "LimitRange":
        _note_limits(world, value, space)
    elif kind == "HTTPRoute":
        _note_redirect(world, value, space)
    elif "workload" in subject.tags and _joins(subject):
        world.meshed_pods[space].append(_pod_labels(subject))


def _note_mesh(world: World, name: str, value: Mapping[str, Any]) -> None:
    labels, notes = (
        _mapping(value, "metadata", "labels"),
        _mapping(value, "metadata", "annotations"),
    )
    mode = labels.get("istio.io/dataplane-mode")
    if labels.get("istio-injection") == "enabled" or "istio.io/rev" in labels or mode == "ambient":
        world.meshed[name] = "istio"
    elif notes.get("linkerd.io/inject") in {"enabled", "ingress"}:
        world.meshed[name] = "linkerd"


def _note_mtls(world: World, value: Mapping[str, Any], space: str) -> None:
    whole = not _mapping(value, "spec", "selector")
    if whole and _mapping(value, "spec", "mtls").get("mode") == "STRICT":
        world.strict.add("*" if space in ROOT_NAMESPACES else space)


def _allows_nothing_new(kind: str, value: Mapping[str, Any]) -> bool:
    """Whether a policy says nothing about callers: one that only refuses, or for egress alone."""
    spec = _mapping(value, "spec")
    if kind == "AuthorizationPolicy":
        return spec.get("action") in {"DENY", "AUDIT", "CUSTOM"}
    if kind == "NetworkPolicy":
        types = spec.get("policyTypes")
        return isinstance(types, list) and "Ingress" not in types
    return kind == "CiliumNetworkPolicy" and not {"ingress", "ingressDeny"} & spec.keys()


def _note_binding(world: World, value: Mapping[str, Any], space: str) -> None:
    for one in value.get("subjects") or ():
        if isinstance(one, dict) and one.get("kind") == "ServiceAccount":
            world.bound.add((str(one.get("namespace") or space), str(one.get("name"))))


def _note_limits(world: World, value: Mapping[str, Any], space: str) -> None:
    for limit in _mapping(value, "spec").get("limits") or ():
        if isinstance(limit, dict) and limit.get("type") == "Container":
            world.defaults[space].update(map(str, _mapping(limit, "default")))


def _note_redirect(world: World, value: Mapping[str, Any], space: str) -> None:
    spec = _mapping(value, "spec")
    for rule in spec.get("rules") or ():
        for one in _mapping(rule).get("filters") or ():
            if _mapping(one, "requestRedirect").get("scheme") == "https":
                for parent in spec.get("parentRefs") or ():
                    name, there = _mapping(parent).get("name"), _mapping(parent).get("namespace")
                    world.redirecting.add((str(there or space), str(name)))


def _note_buckets(world: World, subjects: Iterable[Subject]) -> None:
    """Match buckets with the resources that encrypt them: by name, else by the resource's name."""
    encrypting, buckets = [], []
    for subject in subjects:
        change = subject.value["resource_changes"][0]
        name = _mapping(change, "change", "after").get("bucket")
        short = subject.name.rpartition(".")[2]
        if subject.kind == "aws_s3_bucket":
            buckets.append((subject.name, name, short))
        elif subject.kind == "aws_s3_bucket_server_side_encryption_configuration":
            encrypting.append((name, short, _module(subject.name)))
    for address, bucket, own in buckets:
        for other, label, module in encrypting:
            unnamed = other is None and label == own and module == _module(address)
            if (bucket is not None and bucket == other) or unnamed:
                world.encrypted_buckets.add(address)


def _module(address: str) -> str:
    return ".".join(address.split(".")[:-2])


def _joins(subject: Subject) -> bool:
    metadata = _mapping(subject.value, *_metadata_path(subject.kind))
    labels, notes = _mapping(metadata, "labels"), _mapping(metadata, "annotations")
    istio = labels.get("sidecar.istio.io/inject", notes.get("sidecar.istio.io/inject"))
    return istio in {"true", True} or notes.get("linkerd.io/inject") == "enabled"


def _selector(value: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the labels that a policy selects by; empty where it selects everything."""
    spec = _mapping(value, "spec")
    for key in ("selector", "podSelector", "endpointSelector"):
        chosen = _mapping(spec, key)
        if chosen:
            return _mapping(chosen, "matchLabels")
    return {}


def _selects(selector: Mapping[str, Any], labels: Mapping[str, Any]) -> bool:
    return all(labels.get(key) == value for key, value in selector.items())


def _metadata_path(kind: str) -> tuple[str, ...]:
    return (*CLUSTER_TEMPLATES.get(kind, ("spec", "template", "spec"))[:-1], "metadata")


def _pod_labels(subject: Subject) -> Mapping[str, Any]:
    return _mapping(subject.value, *_metadata_path(subject.kind), "labels")


def _pod(subject: Subject) -> Mapping[str, Any]:
    return _mapping(
        subject.value, *CLUSTER_TEMPLATES.get(subject.kind, ("spec", "template", "spec"))
    )


def _mapping(value: Any, *keys: str) -> Mapping[str, Any]:
    """Return what lies at `keys`; empty where that is no mapping."""
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value if isinstance(value, Mapping) else {}
