"""One customer's transfer, hop by hop, as the record has it: the calls under its transaction."""

from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from meshwarden.kernel import EXTERNAL
from meshwarden.lab.agreement import party_name

TRANSFERS: Final = "/v1/transfers"


def chain_of_a_transfer(calls: pa.Table, ledger: str) -> tuple[str, ...]:
    """Return the hops of the last transfer of a customer that was booked, in their order.

    A card payment is booked as a transfer too; it is told where no customer's own transfer was
    booked. Empty where nothing was.

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
    ordered = pc.and_(
        pc.starts_with(carried["source"].cast(pa.string()), EXTERNAL),
        pc.equal(carried["route"].cast(pa.string()), TRANSFERS),
    )
    asked = pc.and_(ordered, pc.is_in(carried["transaction"], transactions.combine_chunks()))
    transfers = carried.filter(asked)["transaction"]
    last = (transfers if len(transfers) else transactions)[-1]
    columns = ["source", "destination", "method", "route"]
    own = carried.filter(pc.equal(carried["transaction"], last)).select(columns)
    return tuple(_hop(row) for row in own.to_pylist())


def _hop(row: dict[str, str]) -> str:
    source = row["source"]
    caller = "customer" if source.startswith(EXTERNAL) else party_name(source)
    ends = f"{caller} -> {party_name(row['destination'])}"
    return f"{ends} {row['method']} {row['route']}"
