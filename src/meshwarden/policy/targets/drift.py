"""Whether a cluster holds what a policy compiles to: objects missing, changed, or beside it.

Specifications are compared as values, but for what an API server leaves out by itself: keys with
nothing in them. An object that our compiler did not write counts where it bears on who may call
whom in the policy's namespaces: what such policies allow adds up, so that one object can undo all.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from meshwarden.policy.targets.manifest import MANAGED_BY, MANAGER, Manifest

MAX_PATHS: Final = 8
BEARING: Final[Mapping[str, frozenset[str]]] = {
    "security.istio.io": frozenset(
        {"AuthorizationPolicy", "PeerAuthentication", "RequestAuthentication"}
    ),
    "networking.istio.io": frozenset({"EnvoyFilter", "ServiceEntry", "Sidecar"}),
    "policy.linkerd.io": frozenset(
        {"AuthorizationPolicy", "HTTPRoute", "MeshTLSAuthentication", "NetworkAuthentication",
         "Server"}
    ),
    "networking.k8s.io": frozenset({"NetworkPolicy"}),
}  # fmt: skip
ROOT: Final = "istio-system"
_PRODUCT: Final = {"istio": ".istio.io", "linkerd": ".linkerd.io", "networkpolicy": ".k8s.io"}

Key = tuple[str, str, str, str]


class DriftKind(StrEnum):
    """How what is held differs from what was compiled."""

    MISSING = "missing"
    CHANGED = "changed"
    LEFT_OVER = "left over"  # ours by its label, of an earlier policy
    FOREIGN = "foreign"


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """One object that is not as compiled.

    Attributes:
        kind: how.
        object: `Kind/namespace/name`.
        paths: what differs in it, dotted, at most `MAX_PATHS`.
    """

    kind: DriftKind
    object: str
    paths: tuple[str, ...] = ()


def drift_of(
    target: str, compiled: Iterable[Manifest], held: Iterable[Mapping[str, Any]]
) -> tuple[Drift, ...]:
    """Return how the objects that a cluster holds differ from those that were compiled.

    Args:
        target: `istio`, `linkerd` or `networkpolicy`.
        compiled: all objects of the policy.
        held: what the API answered; objects of other products do not matter.
    """
    wanted = {_key(one): one for one in compiled}
    there = {_key(one): one for one in held}
    found = [*_unlike(wanted, there), *_beside(target, wanted, there)]
    return tuple(sorted(found, key=lambda one: (one.object, one.kind)))


def _unlike(
    wanted: Mapping[Key, Manifest], there: Mapping[Key, Mapping[str, Any]]
) -> Iterator[Drift]:
    for key, made in wanted.items():
        if key not in there:
            yield Drift(kind=DriftKind.MISSING, object=_named(key))
            continue
        paths = [*_differences(_asked(made), _asked(there[key]), "")]
        if paths:
            yield Drift(kind=DriftKind.CHANGED, object=_named(key), paths=tuple(paths[:MAX_PATHS]))


def _asked(one: Mapping[str, Any]) -> dict[str, Any]:
    """Return what an object demands: its specification; of a Namespace, its annotations."""
    if one.get("kind") != "Namespace":
        return {"spec": one.get("spec")}
    metadata = one.get("metadata")
    notes = metadata.get("annotations") if isinstance(metadata, Mapping) else None
    ours = notes if isinstance(notes, Mapping) else {}
    return {"annotations": {key: value for key, value in ours.items() if "linkerd.io/" in key}}


def _beside(
    target: str, wanted: Mapping[Key, Manifest], there: Mapping[Key, Mapping[str, Any]]
) -> Iterator[Drift]:
    spaces = {key[2] for key in wanted} | ({ROOT} if target == "istio" else set())
    for key, one in there.items():
        group, kind, space, _ = key
        if key in wanted or space not in spaces or kind not in BEARING.get(group, ()):
            continue
        if group.endswith(_PRODUCT[target]):
            ours = _labels(one).get(MANAGED_BY) == MANAGER
            yield Drift(kind=DriftKind.LEFT_OVER if ours else DriftKind.FOREIGN, object=_named(key))


def _differences(wanted: Any, held: Any, path: str) -> Iterator[str]:  # noqa: ANN401  # any JSON
    """Yield the dotted paths at which two values differ, the outermost of each."""
    wanted, held = _bare(wanted), _bare(held)
    if isinstance(wanted, dict) and isinstance(held, dict):
        for key in sorted({*wanted, *held}):
            below = f"{path}.{key}" if path else str(key)
            yield from _differences(wanted.get(key), held.get(key), below)
    elif isinstance(wanted, list) and isinstance(held, list) and len(wanted) == len(held):
        for index, (one, other) in enumerate(zip(wanted, held, strict=True)):
            yield from _differences(one, other, f"{path}[{index}]")
    elif wanted != held or isinstance(wanted, bool) != isinstance(held, bool):
        yield path


def _bare(value: Any) -> Any:  # noqa: ANN401  # any JSON value
    """Return a value as an API server answers it; what holds nothing is None."""
    if isinstance(value, dict):
        kept = {str(key): one for key, one in value.items() if _bare(one) is not None}
        return kept or None
    return None if value == [] else value


def _key(one: Mapping[str, Any]) -> Key:
    metadata = one.get("metadata")
    metadata = metadata if isinstance(metadata, Mapping) else {}
    group = str(one.get("apiVersion", "")).rpartition("/")[0]
    name, space = str(metadata.get("name", "")), str(metadata.get("namespace") or "")
    return group, str(one.get("kind", "")), space, name


def _labels(one: Mapping[str, Any]) -> Mapping[str, Any]:
    metadata = one.get("metadata")
    found = metadata.get("labels") if isinstance(metadata, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def _named(key: Key) -> str:
    return "/".join(part for part in key[1:] if part)
