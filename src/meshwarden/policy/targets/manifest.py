"""Kubernetes objects as plain values, and a compiled policy as files of them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from meshwarden.policy.model import Service
from meshwarden.policy.targets.unexpressed import Unexpressed

Manifest = dict[str, Any]

MANAGED_BY: Final = "app.kubernetes.io/managed-by"
MANAGER: Final = "meshwarden"
IDENTITY: Final = "meshwarden.dev/identity"
"""Annotation: the SPIFFE ID of the service that an object is about, for reading it back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Compiled:
    """A policy as a target takes it.

    Attributes:
        files: objects by the name of the file that they belong to; a name that ends with `.json`
            or `.rego` holds one value, or text.
        unexpressed: what the target cannot enforce as written, rule by rule.
        remarks: where the target as such differs from what a policy means; one sentence each.
    """

    files: Mapping[str, Any]
    unexpressed: tuple[Unexpressed, ...]
    remarks: tuple[str, ...] = ()

    def objects(self) -> Iterator[Manifest]:
        """Yield all Kubernetes objects."""
        for name, content in self.files.items():
            if name.endswith(".yaml"):
                yield from content


def manifest(api: str, kind: str, name: str, namespace: str, spec: Mapping[str, Any]) -> Manifest:
    """Return one object that says who made it."""
    return {
        "apiVersion": api,
        "kind": kind,
        "metadata": {"name": name, "namespace": namespace, "labels": {MANAGED_BY: MANAGER}},
        "spec": spec,
    }


def of_service(made: Manifest, service: Service) -> Manifest:
    """Return the object, annotated with the identity of the service that it is about."""
    made["metadata"]["annotations"] = {IDENTITY: str(service.identity)}
    return made
