"""JSON access logs of Envoy into canonical fields; nested objects are looked into once."""

from typing import Any, Final

from meshwarden.adapters.envoy.foreign.keys import plan_of, reader_of
from meshwarden.adapters.sources.fields import parse_object
from meshwarden.adapters.sources.row import refuse

_MAX_KEYS: Final = 256


def parse_json_fields(line: bytes) -> dict[str, Any]:
    """Return what `line` says, under canonical names; InputError `source.line`."""
    return canonical(parse_object(line))


def canonical(found: dict[str, Any]) -> dict[str, Any]:
    """Return the known ones of `found` under canonical names; a refusal where there is no time."""
    if len(found) > _MAX_KEYS:
        refuse("too many keys")
    fields = reader_of(tuple(found))(found)
    if "time" not in fields:
        refuse("no time")
    return fields


def looks_like_envoy(found: dict[str, Any]) -> bool:
    """Return whether the keys are those of an Envoy's log rather than of any web server's."""
    known = {meaning for meaning, _ in plan_of(tuple(found))} if len(found) <= _MAX_KEYS else set()
    telling = {"flags", "details", "upstream", "cluster", "local", "remote", "authority", "peer"}
    return "time" in known and len(known & telling) >= 1 and bool(known & {"status", "received"})
