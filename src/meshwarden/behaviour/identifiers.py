"""Identifiers by their form alone: what can stand for one thing only, whoever sees it.

Exact means: numbers, UUIDs, ULIDs, hashes in hex or base64 of the lengths that digests have, dates
and times, e-mail addresses, percent-escapes, and texts too long for a name. A real word, a version
such as `v1`, a file such as `index.html` never match.
"""

import re
from functools import lru_cache
from typing import Final

HOLE: Final = "{}"
_MAX_WORD: Final = 48
_IDENTIFIER: Final = re.compile(
    r"""[+-]?\d+(?:[.,:]\d+)*                                  # numbers, lists of them, coordinates
    | (?:[A-Za-z]{1,12}[-_:])?\{?[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}\}?   # UUID
    | (?=[0-9A-Z]*\d)[0-7][0-9A-HJKMNP-TV-Z]{25}              # ULID
    | (?=(?:[a-f]*\d){2})(?=\d*[a-f])[0-9a-f]{7,}  # hex: commits, ObjectIds, digests
    | (?=[0-9A-F]*\d)(?=\d*[A-F])[0-9A-F]{8,}
    | 0x[0-9a-fA-F]+
    | \d{4}-\d\d(?:-\d\d(?:[T_ ]\d\d[:-]?\d\d(?:[:-]?\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:?\d\d)?)?)?
    | \d{4}-W\d\d(?:-\d)? | \d\d-\d\d-\d{4}
    | [^@/]+(?:@|%40)[^@/]+\.[^@/]+                            # e-mail
    | [A-Z]{2}\d\d[A-Z0-9]{11,30}                              # IBAN
    | [A-Za-z]{1,12}(?:[-_:][A-Za-z0-9]{1,12})*?[-_:]\d{4,}[A-Za-z0-9_:-]* | [A-Za-z]{1,12}\d{6,}
    | eyJ[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*                   # JSON web token
    | (?:\d{1,3}\.){3}\d{1,3}(?::\d+)? | [0-9a-fA-F:]*:[0-9a-fA-F:]*:[0-9a-fA-F:.]*   # addresses
    | .*%[0-9A-Fa-f]{2}.*                                      # escapes: free text
    """,
    re.VERBOSE | re.DOTALL,
)
_OPAQUE: Final = re.compile(
    r"(?=.*[0-9])(?=.*[a-z])(?=.*[A-Z])[A-Za-z0-9_-]{16,}={0,2}"
)  # base64url, KSUID, nanoid
_PARENTHESES: Final = re.compile(r"([A-Za-z_.]+)\((.*)\)")  # OData: Orders(10248)
_FILE: Final = re.compile(r"(.+)((?:\.[A-Za-z][A-Za-z0-9]{0,4}){1,2})")
_ASSET: Final = re.compile(r"(.+)[.-](?=[0-9a-f]*\d)[0-9a-f]{8,32}((?:\.[a-z0-9]{1,5}){1,2})")


@lru_cache(maxsize=65_536)
def without_identifiers(segment: str) -> str:
    """Return `segment` with what identifies one thing replaced by `{}`.

    >>> without_identifiers("Orders(10248)"), without_identifiers("main.5f2a9c1e.js")
    ('Orders({})', 'main.{}.js')
    """
    if segment.isalpha() and len(segment) <= _MAX_WORD:
        return segment
    segment = segment.partition(";")[0]  # matrix parameters, ;jsessionid=...
    if not segment:
        return segment
    if is_identifier(segment):
        return HOLE
    found = _PARENTHESES.fullmatch(segment)
    if found:
        return f"{found.group(1)}({HOLE})"
    found = _ASSET.fullmatch(segment)
    if found:
        return f"{found.group(1)}.{HOLE}{found.group(2)}"
    found = _FILE.fullmatch(segment)
    if found and is_identifier(found.group(1)):
        return HOLE + found.group(2)
    return segment


def is_identifier(text: str) -> bool:
    """Return whether `text` identifies one thing by its form."""
    if len(text) > _MAX_WORD or (text.isascii() and text.isdigit()):
        return True
    return bool(_IDENTIFIER.fullmatch(text) or _OPAQUE.fullmatch(text))
