r"""Path patterns as regular expressions for Linkerd's HTTPRoutes.

A path that is sent in its normal form matches if and only if the pattern does; any other path
matches nothing, since Linkerd normalizes none. The API takes 1,024 characters, so that segments
are written as short as they can be, in the syntax that Rust's `regex`, RE2 and Python share. Where
they are still too long, `PLAIN` segments stand in, which refuse escapes (`%20`).
"""

import re
from functools import lru_cache
from typing import Final

from meshwarden.policy.path import PathPattern

MAX_LENGTH: Final = 1024

_CHARACTERS: Final = r"A-Za-z0-9_~!$&'()*+,=:@\[\]\-"
_ESCAPE: Final = (
    "%(?:0[1-9A-Fa-f]|2[0-9A-Ca-c]|3[A-Fa-f]|40|5[BDEbde]|60|7[BCDFbcdf]|[189A-Fa-f][0-9A-Fa-f])"
)
SEGMENT: Final = (
    rf"(?:\.{{3}}|;|\.{{0,2}}(?:[{_CHARACTERS}]|{_ESCAPE}))(?:[{_CHARACTERS};.]|{_ESCAPE})*"
)
PLAIN: Final = rf"(?:\.{{3}}|;|\.{{0,2}}[{_CHARACTERS}])[{_CHARACTERS};.]*"

UNCLEAN: Final = (
    r"/(?:(?:.*/)?(?:/.*|\.\.?(?:[;/].*)?)|"
    rf".*[^{_CHARACTERS};./%].*|.*%.?|"
    r".*%(?:[^0-9A-Fa-f]|.[^0-9A-Fa-f]|00|2[DEFdef]|3[0-9]|4[1-9A-Fa-f]|5[0-9ACFacf]"
    r"|6[1-9A-Fa-f]|7[0-9AEae]).*)"
)
"""All paths that are not clean."""


def expression(pattern: PathPattern) -> str | None:
    """Return the expression that all of a path matches; None where it is too long."""
    for segment in (SEGMENT, PLAIN):
        found = _written(pattern, segment)
        if len(found) <= MAX_LENGTH:
            return found
    return None


def is_full(pattern: PathPattern) -> bool:
    """Return whether its segments may hold escapes."""
    return len(_written(pattern, SEGMENT)) <= MAX_LENGTH


@lru_cache(maxsize=32_768)
def _written(pattern: PathPattern, segment: str) -> str:
    parts = [segment if part is None else re.escape(part) for part in pattern.segments]
    further = f"/{segment}(?:/{segment})*/?" if pattern.rest else ""
    return "".join(f"/{part}" for part in parts) + further


def parse_expression(text: str) -> PathPattern | None:
    """Return the pattern that `text` was written for; None where it is another expression."""
    for segment in (SEGMENT, PLAIN):
        further = f"/{segment}(?:/{segment})*/?"
        start, rest = (text.removesuffix(further), text.endswith(further))
        names = iter(range(1, 1000))
        pieces = start.split(segment)
        if segment in start or rest:
            joined = "".join(
                piece if index == 0 else f"{{x{next(names)}}}{piece}"
                for index, piece in enumerate(re.sub(r"\\(.)", r"\1", piece) for piece in pieces)
            )
            made = PathPattern.parse(joined + ("/**" if rest else ""))
            return made if _written(made, segment) == text else None
    return None
