"""The path of an HTTPRoute's match as patterns of an access policy."""

from meshwarden.kernel import InputError
from meshwarden.policy.intake.part import Part
from meshwarden.policy.intake.paths import NotAPattern, prefix_patterns
from meshwarden.policy.path import PathPattern
from meshwarden.policy.targets.linkerd.patterns import UNCLEAN, parse_expression


def path_patterns(path: Part) -> list[PathPattern] | None:
    """Return the patterns of a match's path, None for any; NotAPattern says why there are none."""
    kind, value = path.at("type").text(), path.at("value").text()
    if not path.names():
        return None
    if kind in {"", "PathPrefix"}:
        found = prefix_patterns(value or "/")
        return None if found is None else list(found)
    if kind == "Exact":
        try:
            made = PathPattern.parse(value)
        except InputError as error:
            raise NotAPattern(error.message) from error
        if not made.is_literal:
            raise NotAPattern("an exact path has no placeholders")
        return [made]
    if value == UNCLEAN:
        raise NotAPattern("paths that are not clean are refused everywhere")
    pattern = parse_expression(value)
    if pattern is None:
        raise NotAPattern("a regular expression of others has no place here")
    return [pattern]
