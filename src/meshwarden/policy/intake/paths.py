"""Paths as the meshes write them, as patterns of an access policy."""

import re
from collections.abc import Iterable, Sequence
from typing import Final

from meshwarden.kernel import InputError
from meshwarden.policy.path import PathPattern

_ONE: Final = "{*}"
_ANY: Final = "{**}"


class NotAPattern(Exception):  # noqa: N818  # a signal within this package: becomes a note
    """A path has no equal among the patterns; the text goes on from its name."""


def istio_patterns(text: str) -> Sequence[PathPattern] | None:
    """Return the patterns that match what Istio's path `text` does; None where that is any path.

    Raises:
        NotAPattern: with the reason.
    """
    if text in {"*", "/*"}:
        return None
    if {"{", "}"} & set(text.replace(_ONE, "").replace(_ANY, "")):
        raise NotAPattern("has a brace that is no placeholder to Istio")
    if _ONE in text or _ANY in text:
        return _template(text)
    if text.startswith("*"):
        raise NotAPattern("is a suffix, which has no place here")
    if text.endswith("*"):
        if not text.endswith("/*"):
            raise NotAPattern("ends within a segment, which has no place here")
        return [_pattern(text[:-1]), _pattern(text[:-1] + "**")]
    return [_pattern(text)]


def _template(text: str) -> Sequence[PathPattern]:
    numbered = iter(range(1, 1000))
    rest = text.endswith(f"/{_ANY}")
    start = text.removesuffix(f"/{_ANY}") if rest else text
    if _ANY in start or "*" in start.replace(_ONE, ""):
        raise NotAPattern("has an operator that stands for less or more than whole segments")
    named = re.sub(re.escape(_ONE), lambda _: f"{{x{next(numbered)}}}", start)
    if not rest:
        return [_pattern(named)]
    return [_pattern(f"{named}/"), _pattern(f"{named}/**")]


def _pattern(text: str) -> PathPattern:
    try:
        return PathPattern.parse(text)
    except InputError as error:
        raise NotAPattern(f"matches no request here ({error.message})") from error


def prefix_patterns(text: str) -> Sequence[PathPattern] | None:
    """Return the patterns that match what a PathPrefix of Gateway API does; None: any path."""
    bare = text.rstrip("/")
    if not bare:
        return None
    if {"{", "}"} & set(text):
        raise NotAPattern("has a brace, which is no placeholder in a prefix")
    return [_pattern(bare), _pattern(f"{bare}/"), _pattern(f"{bare}/**")]


def tidy(patterns: Iterable[PathPattern]) -> tuple[PathPattern, ...]:
    """Return patterns that match the same, `/a/**` for `/a/{x}`, `/a/{x}/` and `/a/{x}/**`."""
    found = list(dict.fromkeys(patterns))
    for pattern in [one for one in found if one.rest and one.segments[-1:] == (None,)]:
        parts = pattern.segments
        alike = {(parts, True), (parts, False), ((*parts, ""), False)}
        if alike <= {(one.segments, one.rest) for one in found}:
            at = found.index(next(one for one in found if (one.segments, one.rest) in alike))
            whole = "/".join(pattern.text.split("/")[:-2]) + "/**"
            kept = [one for one in found if (one.segments, one.rest) not in alike]
            found = [*kept[:at], PathPattern.parse(whole), *kept[at:]]
    return tuple(dict.fromkeys(found))
