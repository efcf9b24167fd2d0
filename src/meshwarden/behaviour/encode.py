"""Calls as numbers: what the detectors read, column by column.

Names become 64-bit keys (BLAKE2b of the text for parties, routes and the like; a fast hash for
values that differ on each call). A key of 0 means: not stated. `claimed` is not even read.
"""

import hashlib
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from meshwarden.behaviour.compiled import compiled
from meshwarden.behaviour.outcomes import ANSWERED, OF_CODE, OF_STATUS, REFUSED, UNANSWERED
from meshwarden.kernel import CALL_SCHEMA, InputError

_PORT: Final = np.uint64(0x7F4A7C159E3779B9)
_MAX_NAME: Final = 4096
_USUAL_NAME: Final = 256
_READ: Final = (
    "time", "source", "destination", "source_instance", "destination_port", "protocol", "method",
    "route", "status", "request_bytes", "response_bytes", "duration", "denied", "shape",
    "transaction", "session", "release",
)  # fmt: skip
_NAMED: Final = (
    "source", "destination", "source_instance", "protocol", "method", "route", "release",
)  # fmt: skip
Columns = dict[str, pa.Array]
Keys = NDArray[np.uint64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Calls:
    """Calls, one element each.

    Attributes:
        time: ns since the epoch.
        source, destination: keys of the parties.
        service: key of method and route, else of protocol and port; 0 where neither is stated.
        outcome: one of `OUTCOMES`, by its place; -1 not known.
        sent, received: octets; -1 where not known.
        instance, release, session, transaction, shape: keys; 0 where not stated.
    """

    time: NDArray[np.int64]
    source: Keys
    destination: Keys
    service: Keys
    outcome: NDArray[np.int8]
    sent: NDArray[np.float64]
    received: NDArray[np.float64]
    instance: Keys
    release: Keys
    session: Keys
    transaction: Keys
    shape: Keys

    def __len__(self) -> int:
        return len(self.time)

    def part(self, start: int, stop: int) -> "Calls":
        """Return the calls from `start` up to, not including, `stop`."""
        return Calls(**{f.name: getattr(self, f.name)[start:stop] for f in fields(self)})


def key_of(name: str) -> int:
    """Return the key of a name; never 0."""
    return _usual_key(name) if len(name) <= _USUAL_NAME else _key(name[:_MAX_NAME])


def _key(name: str) -> int:
    digest = hashlib.blake2b(name.encode(errors="surrogatepass"), digest_size=8)
    return int.from_bytes(digest.digest(), "little") or 1


_usual_key: Final = lru_cache(maxsize=32_768)(_key)  # each batch names the same parties again


class KnownNames:
    """Keys of the last names of each column: the batches of a file mostly share a dictionary."""

    def __init__(self) -> None:
        self._last: dict[str, tuple[pa.Array, Keys]] = {}

    def keys(self, column: str, names: pa.Array) -> Keys:
        """Return the keys of a dictionary's names, in order, and one more, 0, for null."""
        last = self._last.get(column)
        if last is None or not last[0].equals(names):
            keys = np.array([key_of(each or "") for each in names.to_pylist()] + [0], np.uint64)
            last = self._last[column] = names, keys
        return last[1]


def encode(table: pa.Table | pa.RecordBatch, known: KnownNames | None = None) -> Calls:
    """Return the calls of a table of CALL_SCHEMA.

    Args:
        table: the calls.
        known: what earlier batches had for names; grows.

    Raises:
        InputError: `behaviour.schema`, a column is missing or of another type.
    """
    _check(table)
    columns = {name: _array(table, name) for name in _READ}
    names = known or KnownNames()
    keys = {name: _keys(name, columns[name], names) for name in _NAMED}
    port = _values(columns["destination_port"], pa.int64(), -1)
    received = _values(columns["response_bytes"], pa.float64(), -1.0)
    return Calls(
        time=_values(columns["time"], pa.int64(), 0),
        source=keys["source"],
        destination=keys["destination"],
        service=_service(port, keys["protocol"], keys["method"], keys["route"]),
        outcome=_outcome(columns, keys["protocol"], received),
        sent=_values(columns["request_bytes"], pa.float64(), -1.0),
        received=received,
        instance=keys["source_instance"],
        release=keys["release"],
        session=_fast_keys(columns["session"]),
        transaction=_fast_keys(columns["transaction"]),
        shape=_fast_keys(columns["shape"]),
    )


def _check(table: Any) -> None:
    for field in CALL_SCHEMA:
        at = table.schema.get_field_index(field.name)
        if at < 0 or table.schema.field(at).type != field.type:
            raise InputError(
                "behaviour.schema",
                f"column {field.name} is missing or not {field.type}",
                where="calls",
                hint="read calls with adapters.storage.calls",
            )


def _array(table: Any, name: str) -> pa.Array:
    column = table.column(name)
    if not isinstance(column, pa.ChunkedArray):
        return column
    if column.num_chunks == 1:
        return column.chunk(0)
    if column.num_chunks > 1 and pa.types.is_dictionary(column.type):
        column = column.unify_dictionaries()
    joined = column.combine_chunks()
    return joined.chunk(0) if isinstance(joined, pa.ChunkedArray) else joined


def _values(column: pa.Array, kind: pa.DataType, unknown: float) -> NDArray[Any]:
    if column.null_count == len(column):
        return np.full(len(column), unknown, kind.to_pandas_dtype())
    return np.asarray(_filled(column.cast(kind, safe=False), unknown))


def _filled(column: pa.Array, unknown: float) -> pa.Array:
    return pc.fill_null(column, unknown) if column.null_count else column


def _keys(name: str, column: pa.Array, known: KnownNames) -> Keys:
    """Return the keys of a column of few different names; 0 where it is null."""
    if len(column) == 0 or column.null_count == len(column):
        return np.zeros(len(column), np.uint64)
    codes = np.asarray(_filled(column.indices, -1))
    keys: Keys = known.keys(name, column.dictionary)[codes]
    return keys


def _fast_keys(column: pa.Array) -> Keys:
    """Return the keys of a column whose every value may be another."""
    if len(column) == 0 or column.null_count == len(column):
        return np.zeros(len(column), np.uint64)
    large = column.cast(pa.large_string())
    _, offsets, data = large.buffers()
    ends = np.frombuffer(offsets, np.int64)[large.offset : large.offset + len(large) + 1]
    octets = np.frombuffer(data, np.uint8) if data is not None else np.zeros(0, np.uint8)
    keys = _hash_texts(ends, octets)
    keys[np.asarray(pc.is_null(column))] = 0
    return keys


@compiled
def _hash_texts(ends: NDArray[np.int64], octets: NDArray[np.uint8]) -> Keys:
    """FNV-1a with a finishing mix; an empty text has no key."""
    keys = np.zeros(ends.size - 1, np.uint64)
    for row in range(keys.size):
        if ends[row + 1] == ends[row]:
            continue
        key = np.uint64(0xCBF29CE484222325)
        for at in range(ends[row], min(ends[row + 1], ends[row] + 256)):
            key = (key ^ np.uint64(octets[at])) * np.uint64(0x100000001B3)
        key = (key ^ (key >> np.uint64(32))) * np.uint64(0x9E3779B97F4A7C15)
        keys[row] = (key ^ (key >> np.uint64(29))) | np.uint64(1)
    return keys


def _service(port: NDArray[np.int64], protocol: Keys, method: Keys, route: Keys) -> Keys:
    by_port = np.where(port >= 0, (port.astype(np.uint64) + np.uint64(1)) * _PORT ^ protocol, 0)
    by_route = route ^ (method * _PORT)
    return np.where(route != 0, by_route, by_port).astype(np.uint64)


def _outcome(columns: Columns, protocol: Keys, received: NDArray[np.float64]) -> NDArray[np.int8]:
    """HTTP by its status, gRPC by its code, connections by an answer of no octets."""
    status = _values(columns["status"], pa.int64(), -1)
    grpc, tcp = protocol == key_of("grpc"), protocol == key_of("tcp")
    duration = _values(columns["duration"], pa.int64(), -1)
    outcome = np.full(len(status), -1, np.int8)
    outcome[tcp & (received >= 0)] = ANSWERED
    outcome[tcp & ((received == 0) | ((received < 0) & (duration == 0)))] = UNANSWERED
    stated = status >= 0
    outcome[stated] = OF_STATUS[np.minimum(status[stated], len(OF_STATUS) - 1)]
    code = grpc & (status >= 0) & (status < 100)
    outcome[code] = OF_CODE[np.minimum(status[code], len(OF_CODE) - 1)]
    outcome[_values(columns["denied"], pa.bool_(), False)] = REFUSED
    return outcome
