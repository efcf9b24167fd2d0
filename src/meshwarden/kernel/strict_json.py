"""JSON from strangers: objects without duplicate names, plain numbers, bounded depth and size."""

import json
from typing import Any, NoReturn

_MAX_DEPTH = 16


def parse_object(raw: bytes | str) -> dict[str, Any]:
    """Return the JSON object in `raw`; ValueError where it is anything else.

    Duplicate names, NaN and infinities, text that is no UTF-8 and deep nesting are refused: what
    two readers may understand differently is understood by none.
    """
    text = raw.decode("utf-8") if isinstance(raw, bytes) else raw
    if text.count("[") + text.count("{") > _MAX_DEPTH and _depth(text) > _MAX_DEPTH:
        raise ValueError("nested too deeply")
    found = json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant)
    if not isinstance(found, dict):
        raise ValueError("not a JSON object")  # noqa: TRY004  # one class for all that is refused
    return found


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name occurs twice in one object")
    return found


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def _depth(text: str) -> int:
    depth = deepest = 0
    for character in text:
        if character in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif character in "]}":
            depth -= 1
    return deepest
