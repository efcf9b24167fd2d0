"""Finds what a question about a denial is about: in recorded calls, or in one line of a log."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow.compute as pc

from meshwarden.adapters.envoy.accesslog_call import report_of
from meshwarden.adapters.envoy.accesslog_entry import MAX_LINE_BYTES, parse_entry
from meshwarden.adapters.storage.calls import read_calls
from meshwarden.control.plane.naming import naming_of
from meshwarden.kernel import Call, InputError, SpiffeId
from meshwarden.policy import AccessPolicy, Connection, HttpRequest
from meshwarden.policy.traffic import Observed
from meshwarden.policy.traffic.observed import spiffe_id
from meshwarden.policy.traffic.replay import asked_of
from meshwarden.policy.traffic.route import HIDDEN

MOST: Final = 20  # calls of one transaction that are explained


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """A recorded call: what was asked (None where policy was not), and how it went."""

    asked: HttpRequest | Connection | None
    source: str
    destination: str
    denied: bool
    rule: str | None


def find_calls(paths: Sequence[Path], transaction: str) -> list[Recorded]:
    """Return the calls of a transaction, denied ones first, at most `MOST`.

    Raises:
        InputError: as `load_calls`; `calls.unknown` where the record has none of it.
    """
    rows: list[dict[str, Any]] = []
    columns = ["source", "destination", "protocol", "method", "route", "destination_port"]
    for batch in read_calls(paths):
        table = batch.table
        same = pc.fill_null(pc.equal(table["transaction"], transaction), fill_value=False)
        rows += table.filter(same).select([*columns, "denied", "rule"]).to_pylist()
        if len(rows) > 100 * MOST:
            break
    if not rows:
        raise InputError(
            "calls.unknown",
            f"no recorded call has the transaction {transaction[:80]!r}",
            where="--request",
            hint="transactions are recorded where callers present tokens; else use --line",
        )
    return [_recorded(row) for row in sorted(rows, key=lambda row: not row["denied"])[:MOST]]


def _recorded(row: dict[str, Any]) -> Recorded:
    seen = Observed(
        source=row["source"],
        destination=row["destination"],
        protocol=row["protocol"],
        method=row["method"],
        route=row["route"],
        port=row["destination_port"],
        denied=bool(row["denied"]),
        rule=row["rule"],
        mtls=None,
    )
    return Recorded(
        asked=asked_of(seen, hidden=HIDDEN),
        source=seen.source,
        destination=seen.destination,
        denied=seen.denied,
        rule=seen.rule,
    )


def read_line(line: str, policy: AccessPolicy, owner: SpiffeId | None) -> Recorded:
    """Return the call that one JSON line reports: of a sidecar's log, or of `calls list --json`.

    Args:
        line: the line.
        policy: names services and routes.
        owner: whose sidecar wrote it; a sidecar's line does not say so itself.

    Raises:
        InputError: `accesslog.line` where the line breaks the format.
    """
    raw = line.strip().encode()
    if len(raw) > MAX_LINE_BYTES:
        raise InputError("accesslog.line", "longer than a line may be", where="--line")
    found = _object(raw)
    if {"source", "destination", "protocol"} <= found.keys():
        return _row(found)
    entry = parse_entry(raw)
    if owner is None:
        raise InputError(
            "accesslog.owner",
            f"a line of kind {entry.kind.value} does not say whose sidecar wrote it",
            where="--line",
            hint="add --to for a callee's log, --from for a caller's",
        )
    report = report_of(entry, owner=str(owner), naming=naming_of(policy))
    if report is None:
        raise InputError("accesslog.line", "the line reports no call", where="--line")
    return _called(report.call, entry.path)


def _object(raw: bytes) -> dict[str, Any]:
    try:
        found = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise InputError("accesslog.line", "not JSON", where="--line") from error
    if not isinstance(found, dict):
        raise InputError("accesslog.line", "not a JSON object", where="--line")
    return found


def _row(found: dict[str, Any]) -> Recorded:
    kinds = {"method": str, "route": str, "destination_port": int, "rule": str}
    for name in ("source", "destination", "protocol"):
        if not isinstance(found[name], str):
            raise InputError("accesslog.line", f"{name} is no text", where="--line")
    for name, kind in kinds.items():
        if not isinstance(found.setdefault(name, None), kind | None):
            raise InputError("accesslog.line", f"{name} has the wrong type", where="--line")
    return _recorded(found | {"denied": found.get("denied") is True})


def _called(call: Call, path: str | None) -> Recorded:
    source, destination = spiffe_id(call.source), spiffe_id(call.destination)
    asked: HttpRequest | Connection | None = None
    if source and destination and call.protocol == "tcp" and call.destination_port:
        asked = Connection(source=source, destination=destination, port=call.destination_port)
    elif source and destination and call.method and path:
        asked = HttpRequest(source=source, destination=destination, method=call.method, path=path)
    return Recorded(
        asked=asked,
        source=call.source,
        destination=call.destination,
        denied=call.denied,
        rule=call.rule,
    )
