"""Tells the format of a log by its first lines."""

from collections.abc import Iterable
from typing import Final

from meshwarden.adapters.kubernetes.logs import unwrap
from meshwarden.adapters.sources.fields import decode_text, parse_object
from meshwarden.control.sources.formats import LINE_FORMATS
from meshwarden.kernel import InputError

SNIFFED_LINES: Final = 50
_SPANS: Final = b'{"resourceSpans":'


def format_of_line(line: bytes) -> str | None:
    """Return the first format that claims `line`, or what is wrapped in it; None for none."""
    wrapped = unwrap(line)
    line = wrapped.line if wrapped else line
    if line.startswith(_SPANS):
        return "otlp"  # exports are long: what is here may be the beginning of one
    try:
        text = decode_text(line).strip()
        found = parse_object(line) if text.startswith("{") else None
    except InputError:
        return None
    for name, format_ in LINE_FORMATS.items():
        if format_.is_json is (found is not None) and format_.claims(
            found if found is not None else text
        ):
            return name
    return None


def format_of(lines: Iterable[bytes]) -> str | None:
    """Return the format of the first of `lines` that any format claims; None where none does."""
    begun = b""
    for number, line in enumerate(lines):
        if number == 0 and _is_csv(line):
            return "csv"
        if number >= SNIFFED_LINES:
            break
        part = unwrap(line)
        if part is not None and part.partial:
            begun += part.line
            continue
        name = format_of_line(begun + (part.line if part else line))
        begun = b""
        if name is not None:
            return name
    return None


def is_wrapped(lines: Iterable[bytes]) -> bool:
    """Return whether `lines` begin as a container's log or as `kubectl logs --prefix`."""
    first = next((line for line in lines if line.strip()), b"")
    return unwrap(first) is not None


def _is_csv(line: bytes) -> bool:
    names = {
        name.strip(b' "\r\xef\xbb\xbf').decode("ascii", "replace") for name in line.split(b",")
    }
    return {"time", "source", "destination"} <= names
