"""Turns what the engine says of an error into one line that names file, line and cause."""

import re
from collections.abc import Mapping

_ERROR = re.compile(r"\(errormsg \d+:(.*?)\)\s*\(errorast", re.DOTALL)
_PLACE = re.compile(r"\(error \d+:([^|]+)\|(\d+)\|\d+")
MAX_TEXT = 300


def describe(text: str, modules: Mapping[str, str]) -> str:
    """Return one line; `modules` are sources by name, to turn offsets into lines."""
    message = _ERROR.search(text)
    place = _PLACE.search(text)
    what = " ".join((message[1] if message else text).split())[:MAX_TEXT]
    if place is None:
        return what
    source = modules.get(place[1], "")
    line = source.count("\n", 0, int(place[2])) + 1
    return f"{place[1]}:{line}: {what}"
