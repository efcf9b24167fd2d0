"""Many lines of our sidecars' access logs at once: what is usual, as columns.

What a line means is defined by `parse_entry` and `report_of`. Nearly all lines are one of two kinds
of which the same can be told without an object for each: a request that a proven caller sent to the
log's owner becomes a row of calls; one that the owner sent to another service of the mesh is known
by its key and its end, and its line is kept as it came, since the callee's report mostly wins.

Whatever is unusual is left to the two: connections, edges, gRPC, unproven callers, refused
handshakes, lines beyond 8 KiB, and each line with a field of another type than its own. Where the
octets as a whole are no JSON lines, all of them are left. So nothing is read here that they would
refuse, and nothing otherwise than they read it (tests/property/recording holds both).
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pa_json

from meshwarden.adapters.envoy.accesslog_call import Naming, Side, key_of
from meshwarden.adapters.envoy.accesslog_rows import rows_of
from meshwarden.kernel import CALL_SCHEMA, Call

_MAX_BYTES: Final = 8192  # of a line, so that no text in it is longer than `parse_entry` takes
_KINDS: Final = (b'"kind":"inbound"', b'"kind":"outbound"')
_TEXTS: Final = (
    "kind", "start", "flags", "details", "end", "remote", "local", "method", "path", "type",
    "call", "peer", "cert", "fail", "authority", "to", "why", "rule", "ufail", "ulocal", "uremote",
    "txn", "port",
)  # fmt: skip
_NUMBERS: Final = {
    "rx": 1 << 62, "tx": 1 << 62, "ns": 1 << 60, "ms": 1 << 40, "hs": 1 << 62, "status": 999,
    "grpc": 999,
}  # fmt: skip
_SCHEMA: Final = pa.schema(
    [*((name, pa.string()) for name in _TEXTS), *((name, pa.int64()) for name in _NUMBERS)]
)
_PARSING: Final = pa_json.ParseOptions(explicit_schema=_SCHEMA, unexpected_field_behavior="ignore")
_UNSET: Final = pa.array(["", "-"])
_NO_TIME: Final = "0"
_MS: Final = 1_000_000


class Line(NamedTuple):
    """A line that is read when it is needed, and whose log it is from (SPIFFE ID)."""

    owner: str
    text: bytes


class Told(NamedTuple):
    """One side's account of a call, as the merge takes it: see `Report`.

    `what` is where the call itself is: a row of the batch that was read, a line, or the call.
    """

    key: str | None
    side: Side
    end: int
    what: int | Line | Call


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What some lines tell.

    Attributes:
        rows: the callees' calls (CALL_SCHEMA).
        told: the accounts of both sides, callees' first.
        others: which lines are for `parse_entry` to read, by index, in order.
    """

    rows: pa.Table
    told: list[Told]
    others: list[int]


def read_usual(lines: Sequence[bytes], owners: Sequence[str], naming: Naming) -> Batch:
    """Return what the usual ones among `lines` tell.

    Args:
        lines: without their ends; none is blank.
        owners: SPIFFE ID of the service whose sidecar wrote each.
        naming: names of the mesh.
    """
    chosen = [at for at, line in enumerate(lines) if _may_be_usual(line)]
    parsed = _parse([lines[at] for at in chosen])
    if parsed is None:
        return Batch(rows=CALL_SCHEMA.empty_table(), told=[], others=list(range(len(lines))))
    fields = _Fields(parsed)
    callees, callers = fields.callees(), fields.callers()
    rows, keys = rows_of(
        parsed.take(pa.array(callees)),
        time=fields.time[callees],
        duration=pa.array(fields.duration[callees], mask=fields.unlasting[callees]),
        owners=[owners[chosen[at]] for at in callees.tolist()],
        naming=naming,
    )
    ends = fields.ends[callees].tolist()
    told = [
        Told(key, Side.CALLEE, end, row)
        for row, (key, end) in enumerate(zip(keys, ends, strict=True))
    ]
    told += _callers(fields, callers, chosen, lines, owners)
    usual = {chosen[at] for at in [*callees.tolist(), *callers.tolist()]}
    others = [at for at in range(len(lines)) if at not in usual]
    return Batch(rows=rows, told=told, others=others)


def _may_be_usual(line: bytes) -> bool:
    return len(line) <= _MAX_BYTES and (_KINDS[0] in line or _KINDS[1] in line)


def _parse(lines: Sequence[bytes]) -> pa.RecordBatch | None:
    """Return a row for each line; None where they are not one JSON object a line, typed as ours."""
    data = b"\n".join(lines)
    reading = pa_json.ReadOptions(use_threads=False, block_size=len(data) + 1)
    try:
        data.decode()  # Arrow does not look
        table = pa_json.read_json(
            io.BytesIO(data), read_options=reading, parse_options=_PARSING
        ).combine_chunks()
    except (UnicodeDecodeError, pa.ArrowInvalid):
        return None
    return table.to_batches()[0] if table.num_rows == len(lines) else None


class _Fields:
    """The columns of some lines, and which of them are usual."""

    def __init__(self, parsed: pa.RecordBatch) -> None:
        self._parsed = parsed
        start = self._text("start")
        timed = pc.and_(pc.ascii_is_decimal(start), pc.less(pc.binary_length(start), 20))
        self.time = _times(pc.if_else(timed.fill_null(False), start, _NO_TIME))
        self._sound = (self.time > 0) & (self.time < 1 << 62)
        self._sound &= _mask(self._text("port").is_null())  # requests have none
        nanoseconds, self.unlasting = self._number("ns")
        milliseconds, coarse = self._number("ms")
        self.duration = np.where(self.unlasting, milliseconds * _MS, nanoseconds)
        self.unlasting &= coarse
        for name in _NUMBERS:
            number, _ = self._number(name)
            self._sound &= (number >= 0) & (number <= _NUMBERS[name])
        self.ends = self.time + self.duration

    def callees(self) -> np.ndarray:
        """Return the rows of requests that a caller sent over a handshake that ended well."""
        _, unproven = self._number("hs")
        grpc = pc.starts_with(self._text("type"), "application/grpc")
        return np.flatnonzero(
            self._sound
            & self._is("kind", "inbound")
            & ~unproven
            & ~self._known("fail")
            & ~_mask(grpc)
            & _mask(pc.starts_with(self._text("peer"), "spiffe://"))
            & self._known("path")
        )

    def callers(self) -> np.ndarray:
        """Return the rows of requests that reached another service of the mesh."""
        return np.flatnonzero(
            self._sound
            & self._is("kind", "outbound")
            & self._known("call")
            & self._known("uremote")
            & _mask(pc.starts_with(self._text("to"), "spiffe://"))
        )

    def text(self, name: str, rows: np.ndarray) -> list[str]:
        """Return the texts in these rows."""
        found: list[str] = self._text(name).take(pa.array(rows)).to_pylist()
        return found

    def _text(self, name: str) -> pa.Array:
        return self._parsed.column(name)

    def _number(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Return the numbers, 0 where there are none, and where that is."""
        column = self._parsed.column(name)
        return np.asarray(column.fill_null(0)), _mask(column.is_null())

    def _is(self, name: str, text: str) -> np.ndarray:
        return _mask(pc.equal(self._text(name), text))

    def _known(self, name: str) -> np.ndarray:
        text = self._text(name)
        known: np.ndarray = _mask(text.is_valid()) & ~_mask(pc.is_in(text, value_set=_UNSET))
        return known


def _times(digits: pa.Array) -> np.ndarray:
    """Return the numbers; 0 for all where one is too large, which no time is for 200 years."""
    try:
        return np.asarray(digits.cast(pa.int64()))
    except pa.ArrowInvalid:
        return np.zeros(len(digits), np.int64)


def _mask(found: pa.Array) -> np.ndarray:
    """Return truth values; unknown is no."""
    return np.asarray(found.fill_null(False))


def _callers(
    fields: _Fields,
    rows: np.ndarray,
    chosen: Sequence[int],
    lines: Sequence[bytes],
    owners: Sequence[str],
) -> list[Told]:
    at = [chosen[row] for row in rows.tolist()]
    calls, callees = fields.text("call", rows), fields.text("to", rows)
    ends = fields.ends[rows].tolist()
    return [
        Told(key_of("id", call, owners[n], to), Side.CALLER, end, Line(owners[n], lines[n]))
        for n, call, to, end in zip(at, calls, callees, ends, strict=True)
    ]
