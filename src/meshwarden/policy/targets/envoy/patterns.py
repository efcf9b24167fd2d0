"""Path patterns as what Envoy compares `:path` with, which carries the query too.

A literal path is one key for a request without a query, and one prefix for a request with any. All
other patterns are regular expressions that admit clean paths alone.
"""

import re
from collections.abc import Iterable
from typing import Final

from meshwarden.policy.path import CLEAN_PATH, CLEAN_SEGMENT, PathPattern

_QUERY: Final = r"(?:\?.*)?"
ANY_CLEAN_PATH: Final = CLEAN_PATH + _QUERY


def with_query(pattern: PathPattern) -> str:
    """Return what each `:path` starts with that is the literal `pattern` followed by a query."""
    return pattern.literal_prefix + "?"


def expression(patterns: Iterable[PathPattern]) -> str:
    """Return what all of a `:path` matches that is clean and fits one of `patterns`."""
    alternatives = [path_expression(pattern) for pattern in patterns]
    path = alternatives[0] if len(alternatives) == 1 else f"(?:{'|'.join(alternatives)})"
    return path + _QUERY


def path_expression(pattern: PathPattern) -> str:
    """Return what a whole path without a query matches that is clean and fits `pattern`."""
    parts = [CLEAN_SEGMENT if part is None else re.escape(part) for part in pattern.segments]
    further = f"/{CLEAN_SEGMENT}(?:/{CLEAN_SEGMENT})*/?" if pattern.rest else ""
    return "".join(f"/{part}" for part in parts) + further
