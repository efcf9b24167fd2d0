"""Which documents are manifests, of which sort, and what there is to judge in them.

- Kubernetes: `apiVersion` and `kind`. A List is judged item by item. A kind that its own API group
  does not have is a problem, not a pass; a kind of a foreign group is judged by what is known of it
  (its pods), else counted as skipped.
- Compose: `services`, a mapping of mappings. Terraform plan: `resource_changes` or
  `planned_values` beside `terraform_version` or `format_version`; judged resource by resource.
- Access policy: `apiVersion: meshwarden.dev/v1` with `trust_domain` and `services`.

Everything else is no manifest.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from meshwarden.policy.gate.kinds import BUILT_IN, CLUSTER_TEMPLATES
from meshwarden.policy.gate.model import Document, Family, Path, Problem, Subject

MAX_ITEMS_DEPTH = 4


def subjects_of(document: Document) -> Iterator[Subject | Problem]:
    """Yield what there is to judge in `document`; nothing where it is no manifest."""
    value = document.value
    if not isinstance(value, dict):
        return
    family = _family(value)
    if family is Family.KUBERNETES:
        yield from _objects(document, value, ())
    elif family is Family.COMPOSE:
        tags = frozenset({"compose"})
        yield Subject(document=document, family=family, tags=tags, value=value)
    elif family is Family.TERRAFORM:
        yield from _resources(document, value)
    elif family is Family.ACCESS_POLICY:
        yield Subject(document=document, family=family, tags=frozenset(), value=value)
    elif "apiVersion" in value and "metadata" in value:
        yield _problem(document, "gate.no_kind", "the object has an apiVersion but no kind")
    elif isinstance(value.get("kind"), str) and "metadata" in value:
        yield _problem(document, "gate.no_api_version", "the object has a kind but no apiVersion")


def _family(value: Mapping[str, Any]) -> Family | None:
    api = value.get("apiVersion")
    if api == "meshwarden.dev/v1" and "trust_domain" in value and "services" in value:
        return Family.ACCESS_POLICY
    if isinstance(api, str) and isinstance(value.get("kind"), str):
        return Family.KUBERNETES
    if ("resource_changes" in value or "planned_values" in value) and (
        "terraform_version" in value or "format_version" in value
    ):
        return Family.TERRAFORM
    services = value.get("services")
    if isinstance(services, dict) and services and "apiVersion" not in value:
        looks = all(isinstance(one, dict) and _is_service(one) for one in services.values())
        return Family.COMPOSE if looks else None
    return None


def _is_service(value: Mapping[str, Any]) -> bool:
    return any(key in value for key in ("image", "build", "extends", "command", "provider"))


def _objects(
    document: Document, value: Any, prefix: Path, depth: int = 0
) -> Iterator[Subject | Problem]:
    if not isinstance(value, dict) or not isinstance(value.get("kind"), str):
        yield _problem(document, "gate.no_kind", "an item of the list is no object")
        return
    kind, api = value["kind"], str(value.get("apiVersion", ""))
    if kind.endswith("List") and isinstance(value.get("items"), list) and depth < MAX_ITEMS_DEPTH:
        for index, item in enumerate(value["items"]):
            if isinstance(item, dict) and "kind" not in item and kind != "List":
                whole = {"apiVersion": api, "kind": kind.removesuffix("List"), **item}
            else:
                whole = item
            yield from _objects(document, whole, (*prefix, "items", index), depth + 1)
        return
    group = api.rpartition("/")[0]
    known = BUILT_IN.get(group)
    if known is not None and kind not in known:
        name = f"{group or 'core'}/{kind}"
        yield _problem(document, "gate.unknown_kind", f"no such kind: {name}")
        return
    metadata = value.get("metadata")
    if not isinstance(metadata, dict):
        metadata = {}
    yield Subject(
        document=document,
        prefix=prefix,
        family=Family.KUBERNETES,
        kind=kind,
        group=group,
        namespace=str(metadata.get("namespace") or ""),
        name=str(metadata.get("name") or metadata.get("generateName") or ""),
        tags=_tags(kind, value),
        value=value,
    )


def _tags(kind: str, value: Mapping[str, Any]) -> frozenset[str]:
    return frozenset({kind, "workload"} if pod_spec(kind, value) is not None else {kind})


def pod_spec(kind: str, value: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the specification of the pods that an object brings, or None."""
    path = CLUSTER_TEMPLATES.get(kind, ("spec", "template", "spec"))
    found: Any = value
    for key in path:
        found = found.get(key) if isinstance(found, dict) else None
    if not isinstance(found, dict):
        return None
    certain = kind in CLUSTER_TEMPLATES or kind in BUILT_IN["apps"] or kind in BUILT_IN["batch"]
    return found if certain or isinstance(found.get("containers"), list) else None


def _resources(document: Document, value: Mapping[str, Any]) -> Iterator[Subject | Problem]:
    changes = value.get("resource_changes")
    if not isinstance(changes, list):
        changes = list(_planned(value.get("planned_values")))
    common = {"format_version": value.get("format_version")}
    for index, change in enumerate(changes):
        if not isinstance(change, dict) or not isinstance(change.get("type"), str):
            yield _problem(document, "gate.terraform", f"resource_changes[{index}] is no resource")
            continue
        yield Subject(
            document=document,
            family=Family.TERRAFORM,
            kind=change["type"],
            name=str(change.get("address", "")),
            tags=frozenset({"terraform"}),
            value={**common, "resource_changes": [change]},
            item=index,
        )


def _planned(value: Any, depth: int = 0) -> Iterator[Mapping[str, Any]]:
    """Yield the resources of a plan that lists no changes, modules included."""
    module = value.get("root_module", value) if isinstance(value, dict) else {}
    for resource in module.get("resources") or ():
        if isinstance(resource, dict):
            yield {**resource, "change": {"after": resource.get("values")}}
    if depth < 32:
        for child in module.get("child_modules") or ():
            yield from _planned(child, depth + 1)


def _problem(document: Document, code: str, message: str) -> Problem:
    hint = "correct apiVersion and kind"
    return Problem(
        source=document.source, line=document.line, code=code, message=message, hint=hint
    )
