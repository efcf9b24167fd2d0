"""Routes out of paths, where no rule's template gives one: identifiers become `{}`.

Meant for the record, not for decisions: it keeps personal data (account numbers, addresses) out of
it and the number of different routes small. It can be wrong in both directions, harmlessly.
"""

import re
from typing import Final

_IDENTIFIER: Final = re.compile(
    r"""\d+                                   # a number
    | [0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}   # a UUID
    | (?=.*\d)[0-9a-fA-F]{8,}                 # hex with a digit in it
    | (?:[^0-9]*[0-9]){4}.*                   # four digits or more: account numbers, dates, ULIDs
    | .*[@%].*                                # addresses, escapes
    | .{33,}                                  # too long for a name
    """,
    re.VERBOSE | re.DOTALL,
)
_MAX_SEGMENTS: Final = 12


def generic_route(path: str) -> str:
    """Return `path` with segments that look like identifiers replaced by `{}`, and cut after 12.

    >>> generic_route("/v1/accounts/7/entries/0f2b7a52-5d1c-4a0e-9f0e-6a2b0a4f9c11")
    '/v1/accounts/{}/entries/{}'
    """
    segments = path.partition("?")[0].partition("#")[0].split("/")
    kept = [
        "{}" if segment and _IDENTIFIER.fullmatch(segment) else segment
        for segment in segments[: _MAX_SEGMENTS + 1]
    ]
    return "/".join(kept) + ("/**" if len(segments) > _MAX_SEGMENTS + 1 else "")
