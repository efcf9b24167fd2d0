"""`Call`: one request or connection between two parties, and the Arrow schema that all parts share.

The schema is the contract: adapters write it, behaviour, hunting and compliance read it. A party is
a SPIFFE ID in text, `external:<host>` outside the mesh, or `unknown`.
"""

from collections.abc import Iterable
from dataclasses import dataclass, fields
from operator import attrgetter
from typing import Final

import pyarrow as pa

UNKNOWN: Final = "unknown"
EXTERNAL: Final = "external:"
PROTOCOLS: Final = frozenset({"http", "grpc", "tcp", "udp", "icmp", "other"})

_name = pa.dictionary(pa.int32(), pa.string())
CALL_SCHEMA: Final = pa.schema(
    [
        pa.field("time", pa.timestamp("ns", tz="UTC"), nullable=False),
        pa.field("source", _name, nullable=False),
        pa.field("destination", _name, nullable=False),
        pa.field("source_instance", _name),
        pa.field("destination_instance", _name),
        pa.field("source_port", pa.int32()),
        pa.field("destination_port", pa.int32()),
        pa.field("protocol", _name, nullable=False),
        pa.field("method", _name),
        pa.field("route", _name),
        pa.field("status", pa.int16()),
        pa.field("request_bytes", pa.int64()),
        pa.field("response_bytes", pa.int64()),
        pa.field("duration", pa.duration("ns")),
        pa.field("denied", pa.bool_(), nullable=False),
        pa.field("rule", _name),
        pa.field("mtls", pa.bool_()),
        pa.field("claimed", pa.string()),
        pa.field("source_certificate", _name),
        pa.field("shape", pa.string()),
        pa.field("transaction", pa.string()),
        pa.field("session", pa.string()),
        pa.field("release", _name),
        pa.field("reporter", _name, nullable=False),
    ]
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One row of `CALL_SCHEMA`: times and durations in nanoseconds, sizes in octets.

    `time` counts from the epoch (UTC). `claimed` is an identity that an unproven certificate or
    header asserted: it is shown, never learned, and never a reason to act against the workload that
    it names.
    """

    time: int
    source: str
    destination: str
    source_instance: str | None = None
    destination_instance: str | None = None
    source_port: int | None = None
    destination_port: int | None = None
    protocol: str
    method: str | None = None
    route: str | None = None
    status: int | None = None
    request_bytes: int | None = None
    response_bytes: int | None = None
    duration: int | None = None
    denied: bool = False
    rule: str | None = None
    mtls: bool | None = None
    claimed: str | None = None
    source_certificate: str | None = None
    shape: str | None = None
    transaction: str | None = None
    session: str | None = None
    release: str | None = None
    reporter: str

    def __post_init__(self) -> None:
        if self.protocol not in PROTOCOLS:
            raise ValueError(f"protocol {self.protocol!r} is not one of {sorted(PROTOCOLS)}")


_COLUMNS: Final = tuple(field.name for field in fields(Call))


def calls_to_table(calls: Iterable[Call]) -> pa.Table:
    """Return the calls as a table of `CALL_SCHEMA`, in the order given."""
    rows = list(calls)
    arrays = [
        _array(list(map(attrgetter(name), rows)), CALL_SCHEMA.field(name).type) for name in _COLUMNS
    ]
    return pa.Table.from_arrays(arrays, schema=CALL_SCHEMA)


def _array(values: list[object], kind: pa.DataType) -> pa.Array:
    if pa.types.is_dictionary(kind):  # three times as fast as making it at once
        return pa.array(values, kind.value_type).dictionary_encode()
    return pa.array(values, kind)
