"""One customer's transfer, hop by hop, as the record has it: the calls under its transaction."""

import pyarrow as pa
import pyarrow.compute as pc

from meshwarden.kernel import EXTERNAL
from meshwarden.lab.agreement import party_name


def chain_of_a_transfer(calls: pa.Table, ledger: str) -> tuple[str, ...]:
    """Return the hops of the last transfer that was booked, in their order; empty where none was.

    Args:
        calls: of CALL_SCHEMA.
        ledger: its SPIFFE ID.
    """
    carried = calls.filter(pc.invert(pc.is_null(calls["transaction"]))).sort_by("time")
    booked = pc.and_(
        pc.equal(carried["destination"].cast(pa.string()), ledger), pc.equal(carried["status"], 201)
    )
    transactions = carried.filter(booked)["transaction"]
    if not len(transactions):
        return ()
    columns = ["source", "destination", "method", "route"]
    own = carried.filter(pc.equal(carried["transaction"], transactions[-1])).select(columns)
    return tuple(_hop(row) for row in own.to_pylist())


def _hop(row: dict[str, str]) -> str:
    source = row["source"]
    caller = "customer" if source.startswith(EXTERNAL) else party_name(source)
    ends = f"{caller} -> {party_name(row['destination'])}"
    return f"{ends} {row['method']} {row['route']}"
