"""Path patterns out of observed routes, never wider than several examples support.

1. A segment that the record replaced (`{}`) is a placeholder: its values are not known.
2. Segments that look like identifiers (numbers, UUIDs, hexadecimal, long) become a placeholder
   where at least `min_examples` different ones stood between the same neighbours; fewer stay.
3. Names that do not look like identifiers become a placeholder only where `MANY` different ones
   did, and never in the first segment.
4. `/**` is learned only where the record itself was cut there.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from meshwarden.policy.path import MAX_PATTERN_LENGTH, PathPattern
from meshwarden.policy.traffic.route import parse_route

MIN_EXAMPLES: Final = 3
MANY: Final = 20

_IDENTIFIER: Final = re.compile(
    r"\d+|[0-9a-fA-F-]{36}|(?=.*\d)[0-9a-fA-F]{8,}|(?:[^0-9]*[0-9]){4}.*|.{33,}"
)
_WRITABLE: Final = re.compile(r"[A-Za-z0-9_~!$&'()+,;=:@.-]*")
_Parts = tuple[str | None, ...]
_MayVary = Callable[[int, str], bool]


def learn_patterns(
    routes: Iterable[str], *, min_examples: int = MIN_EXAMPLES
) -> Mapping[str, PathPattern]:
    """Return the pattern of each route of one callee; routes that no policy can allow are missing.

    >>> routes = [f"/v1/accounts/{number}" for number in (17, 23, 42)]
    >>> learn_patterns(routes)["/v1/accounts/23"].text
    '/v1/accounts/{id}'
    """
    read = {route: parse_route(route) for route in routes}
    parts = {route: found.segments for route, found in read.items() if found is not None}
    parts = _generalize(parts, _looks_like_identifier, min_examples)
    parts = _generalize(parts, lambda index, _: index > 0, MANY, one_at_a_time=True)
    patterns: dict[str, PathPattern] = {}
    for route, segments in parts.items():
        text = _text(segments) + ("/**" if route.endswith("/**") else "")
        if len(text) <= MAX_PATTERN_LENGTH:
            patterns[route] = PathPattern.parse(text)
    return patterns


def _looks_like_identifier(_: int, segment: str) -> bool:
    return _IDENTIFIER.fullmatch(segment) is not None


def _generalize(
    parts: Mapping[str, _Parts],
    may_vary: _MayVary,
    examples: int,
    *,
    one_at_a_time: bool = False,
) -> dict[str, _Parts]:
    """Replace the segments that may vary, where so many values stood at one place."""
    found = dict(parts)
    places: dict[tuple[_Parts, int, bool], set[str]] = defaultdict(set)
    keys: dict[str, list[tuple[int, tuple[_Parts, int, bool]]]] = defaultdict(list)
    for route, segments in parts.items():
        varying = [index for index, part in enumerate(segments) if part and may_vary(index, part)]
        for index in varying:
            hidden = {index} if one_at_a_time else set(varying)
            shape = tuple(None if at in hidden else part for at, part in enumerate(segments))
            key = (shape, index, route.endswith("/**"))
            places[key].add(segments[index] or "")
            keys[route].append((index, key))
    for route, asked in keys.items():
        wide = {index for index, key in asked if len(places[key]) >= examples}
        if wide:
            found[route] = tuple(
                None if index in wide else part for index, part in enumerate(parts[route])
            )
    return found


def _text(segments: _Parts) -> str:
    """Return the pattern; what no literal can spell is a placeholder as well."""
    written, number = [], 0
    for segment in segments:
        if segment is not None and _WRITABLE.fullmatch(segment):
            written.append(segment)
            continue
        number += 1
        written.append("{id}" if number == 1 else f"{{id{number}}}")
    return "".join(f"/{part}" for part in written)
