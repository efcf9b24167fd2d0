"""Rows into record batches of `CALL_SCHEMA`: one list a column, one Arrow array a list."""

from collections.abc import Sequence
from operator import itemgetter
from typing import Any, Final

import pyarrow as pa

from meshwarden.adapters.sources.row import Row
from meshwarden.kernel import CALL_SCHEMA, UNKNOWN

_DEFAULTS: Final[dict[str, Any]] = {
    "source": UNKNOWN,
    "destination": UNKNOWN,
    "protocol": "other",
    "denied": False,
    "reporter": "import",
}


def batch_of(rows: Sequence[Row]) -> pa.RecordBatch:
    """Return the rows, in their order, as one batch of `CALL_SCHEMA`."""
    present = set[str]().union(*rows)
    full = all(len(row) == len(present) for row in rows)
    everywhere = present if full else present.intersection(*rows)
    arrays = [_array(rows, field, present, everywhere) for field in CALL_SCHEMA]
    return pa.RecordBatch.from_arrays(arrays, schema=CALL_SCHEMA)


def _array(
    rows: Sequence[Row], field: pa.Field, present: set[str], everywhere: set[str]
) -> pa.Array:
    name, default = field.name, _DEFAULTS.get(field.name)
    if name not in present:
        return _constant(default, len(rows), field.type)
    if name in everywhere:
        values = list(map(itemgetter(name), rows))
    else:
        values = [row.get(name, default) for row in rows]
    if pa.types.is_dictionary(field.type):
        return pa.array(values, pa.string()).dictionary_encode()
    return pa.array(values, field.type)


def _constant(value: str | bool | None, length: int, kind: pa.DataType) -> pa.Array:
    if value is None:
        return pa.nulls(length, kind)
    if isinstance(value, bool):
        return pa.repeat(pa.scalar(value), length)
    return pa.DictionaryArray.from_arrays(pa.array([0] * length, pa.int32()), [value])
