"""Fields of log lines into checked values: JSON, text, numbers, times, addresses.

Strangers choose much of what a log says. Whatever does not fit its column is a refusal under the
column's name, never a guess; `-` and empty are "not known" in every log format read here.
"""

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from json.scanner import make_scanner
from typing import Any, Final, NoReturn

import msgspec

from meshwarden.adapters.sources.row import INT64_MAX, refuse

MAX_TEXT: Final = 8192
_UNSET: Final = frozenset({"", "-"})
_SECOND: Final = 1_000_000_000
_RFC3339: Final = re.compile(
    r"(\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d)(?:[.,](\d{1,18}))?([Zz]|[+-]\d\d:?\d\d)?"
)


def _constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


_JSON: Final = json.JSONDecoder(parse_constant=_constant)
_SCAN: Final = make_scanner(_JSON)  # type: ignore[arg-type]  # its stub is wrong
_FAST: Final = msgspec.json.Decoder()


def parse_object(line: bytes) -> dict[str, Any]:
    """Return the JSON object of `line`; a refusal for anything else, also too deep a nesting.

    What the fast parser does not take, the standard library's takes, or says what is wrong.
    """
    try:
        found = _FAST.decode(line)
    except (ValueError, RecursionError):
        return _parse_slowly(line)
    if type(found) is not dict:
        refuse("not an object")
    return found


def _parse_slowly(line: bytes) -> dict[str, Any]:
    try:
        text = line.decode()
        try:
            found, end = _SCAN(text, 0)  # what `decode` does, less two regular expressions
        except StopIteration:
            found, end = _JSON.decode(text), len(text)  # spaces before it, or no JSON
        if text[end:].strip(" \t\r\n"):
            refuse("not JSON")
    except RecursionError:
        refuse("nested too deeply")
    except UnicodeDecodeError:
        refuse("not UTF-8")
    except ValueError:  # covers over-long integers
        refuse("not JSON")
    if type(found) is not dict:
        refuse("not an object")
    return found


def decode_text(line: bytes) -> str:
    """Return `line` as text; a refusal where it is no UTF-8."""
    try:
        return line.decode()
    except UnicodeDecodeError:
        refuse("not UTF-8")


def text_of(value: Any, name: str) -> str | None:  # noqa: ANN401  # whatever JSON holds
    """Return text that Arrow can hold; None for null, empty and `-`."""
    if value is None:
        return None
    if type(value) is str and len(value) <= MAX_TEXT and value.isascii():  # 18 times a line
        return value if value and value != "-" else None
    if type(value) is not str:
        refuse(f"{name} is no text")
    if len(value) > MAX_TEXT:
        refuse(f"{name} is too long")
    # A lone surrogate (an escape such as \ud800) cannot be stored; what it stood for is unknown.
    return value.encode("utf-8", "replace").decode()


def count_of(value: Any, name: str, most: int = INT64_MAX) -> int | None:  # noqa: ANN401
    """Return a whole number from 0 to `most`, also one written as text; None for null and `-`."""
    if value is None:
        return None
    if type(value) is int:
        number = value
    elif isinstance(value, str):
        if value in _UNSET:
            return None
        if not (value.isascii() and value.isdigit() and len(value) <= 19):
            refuse(f"{name} is no whole number")
        number = int(value)
    elif isinstance(value, float) and value.is_integer():
        number = int(value)
    else:
        refuse(f"{name} is no whole number")
    if not 0 <= number <= most:
        refuse(f"{name} is out of range")
    return number


def scaled(value: Any, name: str, unit_ns: int) -> int | None:  # noqa: ANN401
    """Return a duration in nanoseconds from a number of units, whole or not."""
    if value is None or (isinstance(value, str) and value in _UNSET):
        return None
    if type(value) is int or (isinstance(value, str) and value.isascii() and value.isdigit()):
        whole = count_of(value, name)
        return None if whole is None else _within(whole * unit_ns, name)
    try:
        number = float(value) * unit_ns
    except (TypeError, ValueError):
        refuse(f"{name} is no number")
    return _within(number, name)


def _within(number: float, name: str) -> int:
    if not 0 <= number <= INT64_MAX:  # also NaN
        refuse(f"{name} is out of range")
    return int(number)


def time_of(value: Any, name: str = "time") -> int:  # noqa: ANN401
    """Return nanoseconds since the epoch from RFC 3339, or a number of s, ms, us or ns.

    A number's unit is told by its size: seconds until the year 5138, then ms, us, ns. A time
    without a zone is UTC.
    """
    if isinstance(value, str):
        if len(value) == 24 and value[19] == "." and value[23] == "Z":  # as Envoy writes them
            second, milliseconds = _second_in_utc(value[:19]), value[20:23]
            if second and milliseconds.isascii() and milliseconds.isdigit():
                return second + int(milliseconds) * 1_000_000
        found = _RFC3339.fullmatch(value)
        if found is None:
            return _epoch(value, name)
        whole, fraction, zone = found.groups()
        time = _seconds(whole, zone or "Z") * _SECOND
        if fraction:
            time += int(fraction[:9].ljust(9, "0"))
    elif isinstance(value, int | float) and not isinstance(value, bool):
        return _epoch(value, name)
    else:
        refuse(f"{name} cannot be read")
    if not 0 < time <= INT64_MAX:
        refuse(f"{name} is out of range")
    return time


@lru_cache(maxsize=4096)
def _second_in_utc(whole: str) -> int:
    """Return nanoseconds since the epoch of a date and time without fraction; 0 for any other."""
    found = _RFC3339.fullmatch(whole)
    time = _seconds(whole, "Z") * _SECOND if found else 0
    return time if 0 < time < INT64_MAX - _SECOND else 0


@lru_cache(maxsize=4096)
def _seconds(whole: str, zone: str) -> int:
    try:
        moment = datetime.fromisoformat(whole + ("+00:00" if zone in "Zz" else zone))
        return int(moment.astimezone(UTC).timestamp())
    except (ValueError, OverflowError):
        refuse("time cannot be read")


def _epoch(value: str | float, name: str) -> int:
    """Exact for whole numbers and decimals in text; a float is as exact as a float can be."""
    text = value if isinstance(value, str) else repr(value)
    whole, _, fraction = text.partition(".")
    if not (text.isascii() and whole.isdigit() and len(whole) <= 19 and len(fraction) <= 18):
        refuse(f"{name} cannot be read")
    if fraction and not fraction.isdigit():
        refuse(f"{name} cannot be read")
    number = int(whole)
    unit = next(u for most, u in _UNITS if number < most)
    time = number * unit + (int(fraction[:9].ljust(9, "0")) * unit // _SECOND if fraction else 0)
    if not 0 < time <= INT64_MAX:
        refuse(f"{name} is out of range")
    return time


_UNITS: Final = ((10**11, _SECOND), (10**14, 10**6), (10**17, 10**3), (10**20, 1))


def object_of(found: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return the object at `name`; an empty one where there is none or something else."""
    value = found.get(name)
    return value if isinstance(value, dict) else {}


def address_of(text: str | None) -> tuple[str | None, int | None]:
    """Return host and port of `host:port`; the host alone is fine, a Unix socket has neither.

    >>> address_of("[2001:db8::1]:443")
    ('2001:db8::1', 443)
    """
    if not text or text == "-" or "/" in text:
        return None, None
    host, colon, port = text.rpartition(":")
    if not colon or (":" in host and not host.endswith("]")):
        return text.strip("[]") or None, None
    known = port.isascii() and port.isdigit() and len(port) <= 5 and int(port) <= 65535
    return host.strip("[]") or None, int(port) if known else None


usual_address = lru_cache(maxsize=16_384)(address_of)
"""The same, remembered: for ends that listen, of which there are few."""
