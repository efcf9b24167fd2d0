"""A recorded route as what it stands for: the set of paths that a pattern describes.

A route is a path of which some segments were replaced by `{}` (one unknown segment each), and whose
end may have been cut (`/**`: some further segments). Both are what patterns have, so a route is
read as one. Its literal segments are those that were sent, after normalization.
"""

from functools import lru_cache
from typing import Final

from meshwarden.policy.path import PathPattern, normalize_path

HIDDEN: Final = "{}"
_STAND_IN: Final = "~hidden~"  # no segment is written so


@lru_cache(maxsize=65_536)
def parse_route(route: str) -> PathPattern | None:
    """Return the paths that `route` stands for; None where no policy lets any of them pass."""
    if not route.startswith("/"):
        return None
    bare = route.removesuffix("/**")
    rest = bare != route
    path = normalize_path((bare or "/x").replace(HIDDEN, _STAND_IN))
    if path is None:
        return None
    parts = path.split("/")[1:] if bare else []
    segments = tuple(None if part == _STAND_IN else part for part in parts)
    return PathPattern(text=route, segments=segments, rest=rest)


def example_path(route: PathPattern, hidden: str = "7") -> str:
    """Return a path that the route may have been, with `hidden` for each unknown segment.

    >>> example_path(PathPattern(text="", segments=("v1", "accounts", None), rest=True))
    '/v1/accounts/7/7'
    """
    parts = [hidden if part is None else part for part in route.segments] + [hidden] * route.rest
    return "/" + "/".join(parts)
