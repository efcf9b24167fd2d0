"""The meshes' own schemas (custom resource definitions), strict: unknown fields are errors.

An API server drops unknown fields in silence, so that a typing error would be no error there.
"""

from collections.abc import Mapping
from typing import Any

import yaml
from jsonschema import Draft202012Validator
from tests.shared_data import shared_file


def load_schemas(name: str) -> dict[tuple[str, str], Draft202012Validator]:
    """Return a validator for each (apiVersion, kind) in the file `schemas/<name>`; skip without."""
    text = shared_file(f"schemas/{name}").read_text()
    found = {}
    for definition in yaml.load_all(text, Loader=yaml.CSafeLoader):
        if definition is None:
            continue
        spec = definition["spec"]
        for version in spec["versions"]:
            schema = _strict(version["schema"]["openAPIV3Schema"]["properties"]["spec"])
            api = f"{spec['group']}/{version['name']}"
            found[api, spec["names"]["kind"]] = Draft202012Validator(schema)
    return found


def errors(schemas: Mapping[tuple[str, str], Draft202012Validator], made: Mapping[str, Any]) -> list[str]:  # fmt: skip
    """Return what is wrong with an object; one that is of no known kind is wrong."""
    validator = schemas.get((made["apiVersion"], made["kind"]))
    if validator is None:
        return [f"no schema for {made['apiVersion']} {made['kind']}"]
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(made["spec"])]


def _strict(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_strict(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: _strict(value) for key, value in schema.items() if key != "properties"}
    if isinstance(schema.get("properties"), dict):
        made["properties"] = {name: _strict(one) for name, one in schema["properties"].items()}
        if not schema.get("x-kubernetes-preserve-unknown-fields"):
            made.setdefault("additionalProperties", False)
    if schema.get("x-kubernetes-int-or-string"):
        made = {"type": ["integer", "string"]}
    return made


def defaulted(schema: Mapping[str, Any], value: Any) -> Any:
    """Return `value` as an API server stores it: with the defaults of its schema filled in."""
    if isinstance(value, dict):
        properties = schema.get("properties", {})
        filled = {
            name: one["default"] for name, one in properties.items() if "default" in one
        } | value
        return {name: defaulted(properties.get(name, {}), one) for name, one in filled.items()}
    if isinstance(value, list):
        return [defaulted(schema.get("items", {}), one) for one in value]
    return value
