"""Columns of foreign calls into `CALL_SCHEMA`: the import format of the `Call` nouns.

- `time` is RFC 3339 or integer nanoseconds, `duration` may come as `duration_ns`; integral floats
  are accepted; empty means unknown; absent columns are null.
- A name that is no SPIFFE ID, not `unknown` and not `external:<host>` becomes
  `spiffe://<trust domain>/<name>`, with what the grammar refuses written as `_xx`.
- A value that cannot be read rejects its row, under the name of its column.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from meshwarden.adapters.sources.parties import named
from meshwarden.kernel import CALL_SCHEMA, UNKNOWN
from meshwarden.kernel.call import PROTOCOLS

_RFC3339: Final = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:\.(\d{1,9})\d*)?([Zz]|[+-]\d\d:\d\d)"
)
_DIGITS: Final = re.compile(r"[+-]?[0-9]{1,30}")
COLUMNS: Final = frozenset(CALL_SCHEMA.names) | {"duration_ns"}
"""Columns that are read; others are left where they are."""

_DEFAULTS: Final = {
    "source": UNKNOWN,
    "destination": UNKNOWN,
    "protocol": "other",
    "denied": False,
    "reporter": "import",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Conformed:
    """Rows in CALL_SCHEMA, their source numbers, and the numbers of those left out, by reason."""

    table: pa.Table
    numbers: pa.Array
    rejected: dict[str, list[int]]


def conform(table: pa.Table, numbers: pa.Array, *, trust_domain: str) -> Conformed:
    """Return the rows of `table` that can be read as calls.

    Args:
        table: columns by the names of CALL_SCHEMA (or `duration_ns`), of any sensible type.
        numbers: int64, the number of each row in its source.
        trust_domain: for names that are no SPIFFE ID.
    """
    columns: list[pa.Array] = []
    good = np.ones(table.num_rows, dtype=bool)
    rejected: dict[str, list[int]] = {}
    for field in CALL_SCHEMA:
        raw = _raw(table, field.name)
        column = _read(field, raw, trust_domain)
        bad = np.asarray(pc.and_(pc.is_valid(raw), pc.is_null(column)))
        if field.name == "time":
            bad |= np.asarray(pc.is_null(raw))
        elif field.name in _DEFAULTS:
            column = pc.fill_null(column, pa.scalar(_DEFAULTS[field.name], column.type))
        if bad.any():
            reason = f"{field.name} cannot be read"
            rejected[reason] = np.asarray(numbers)[bad & good].tolist()
            good &= ~bad
        columns.append(column)
    mask = pa.array(good)
    kept = [
        pc.filter(column, mask).cast(field.type)
        for column, field in zip(columns, CALL_SCHEMA, strict=True)
    ]
    return Conformed(
        table=pa.Table.from_arrays(kept, schema=CALL_SCHEMA),
        numbers=pc.filter(numbers, mask),
        rejected={reason: rows for reason, rows in rejected.items() if rows},
    )


def _raw(table: pa.Table, name: str) -> pa.Array:
    if name == "duration" and "duration_ns" in table.column_names:
        name = "duration_ns"
    if name not in table.column_names:
        return pa.nulls(table.num_rows, pa.string())
    column = table.column(name).combine_chunks()
    array = column if isinstance(column, pa.Array) else pa.concat_arrays(column.chunks)
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if pa.types.is_string(array.type) or pa.types.is_large_string(array.type):
        return pc.if_else(pc.equal(array, ""), pa.scalar(None, array.type), array)
    return array


def _read(field: pa.Field, raw: pa.Array, trust_domain: str) -> pa.Array:
    """Return `raw` in the plain type of `field`; null where it cannot be read."""
    if field.name in {"source", "destination"}:
        return _by_value(raw, lambda name: named(name, trust_domain), pa.string())
    if field.name == "protocol":
        return _by_value(raw, _protocol, pa.string())
    if pa.types.is_dictionary(field.type) or pa.types.is_string(field.type):
        return raw.cast(pa.string())
    if pa.types.is_boolean(field.type):
        return raw if pa.types.is_boolean(raw.type) else _by_value(raw, _BOOLEANS.get, field.type)
    if pa.types.is_timestamp(field.type):
        return _times(raw).cast(field.type)
    if pa.types.is_duration(field.type):
        return _durations(raw).cast(field.type)
    return _integers(raw, field.type)


def _by_value(raw: pa.Array, convert: Callable[[str], Any], kind: pa.DataType) -> pa.Array:
    """Convert each different text once."""
    encoded = raw.cast(pa.string()).dictionary_encode()
    values = [None if text is None else convert(text) for text in encoded.dictionary.to_pylist()]
    return pa.array(values, kind).take(encoded.indices)


def _protocol(text: str) -> str | None:
    return text.lower() if text.lower() in PROTOCOLS else None


def _integers(raw: pa.Array, kind: pa.DataType) -> pa.Array:
    """Return whole numbers that fit `kind` and are not negative."""
    numbers = _int64(raw)
    most = 2 ** (kind.bit_width - 1) - 1
    fits = pc.and_(pc.greater_equal(numbers, 0), pc.less_equal(numbers, most))
    return pc.if_else(fits, numbers, pa.scalar(None, pa.int64())).cast(kind)


def _int64(raw: pa.Array) -> pa.Array:
    if pa.types.is_floating(raw.type):
        return pa.array([_whole(value) for value in raw.to_pylist()], pa.int64())
    try:
        return raw.cast(pa.int64())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return pa.array([_whole(value) for value in raw.to_pylist()], pa.int64())


def _whole(value: object) -> int | None:
    """Return `value` where it is a whole number of 64 bits, also one written as 200.0."""
    if isinstance(value, str):
        if _DIGITS.fullmatch(value):
            return _in_int64(int(value))
        try:
            value = float(value)
        except ValueError:
            return None
    if isinstance(value, float):
        return _in_int64(int(value)) if value.is_integer() else None
    return None


def _in_int64(number: int) -> int | None:
    return number if -(2**63) <= number < 2**63 else None


def _times(raw: pa.Array) -> pa.Array:
    if pa.types.is_timestamp(raw.type):
        return raw.cast(pa.timestamp("ns", tz=raw.type.tz)).cast(pa.int64())
    numbers = _int64(raw) if not _is_text(raw) or _is_digits(raw) else _parsed_times(raw)
    return pc.if_else(pc.greater(numbers, 0), numbers, pa.scalar(None, pa.int64()))


def _durations(raw: pa.Array) -> pa.Array:
    if pa.types.is_duration(raw.type):
        raw = raw.cast(pa.duration("ns")).cast(pa.int64())
    return _integers(raw, pa.int64())


def _is_text(raw: pa.Array) -> bool:
    return bool(pa.types.is_string(raw.type) or pa.types.is_large_string(raw.type))


def _is_digits(raw: pa.Array) -> bool:
    return bool(pc.all(pc.match_substring_regex(raw, r"^\d+$")).as_py())


def _parsed_times(raw: pa.Array) -> pa.Array:
    return pa.array([None if t is None else _time(t) for t in raw.to_pylist()], pa.int64())


def _time(text: str) -> int | None:
    """Return nanoseconds since the epoch for RFC 3339 or a number; None for anything else."""
    found = _RFC3339.fullmatch(text.strip())
    if not found:
        return _whole(text)
    day, clock, fraction, zone = found.groups()
    zone = "+00:00" if zone in "Zz" else zone
    try:
        moment = datetime.fromisoformat(f"{day}T{clock}{zone}").astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return int(moment.timestamp()) * 1_000_000_000 + int((fraction or "").ljust(9, "0"))


_BOOLEANS: Final = {
    text: value
    for value, texts in ((True, "true True TRUE 1"), (False, "false False FALSE 0"))
    for text in texts.split()
}
