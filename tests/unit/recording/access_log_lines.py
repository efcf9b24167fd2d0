"""Lines as sidecars write them, and a clock to go with them."""

import json
from datetime import UTC, datetime, timedelta

from meshwarden.adapters.envoy.accesslog_batch import Told
from meshwarden.adapters.envoy.accesslog_call import Naming, report_of
from meshwarden.adapters.envoy.accesslog_entry import parse_entry

GATEWAY = "spiffe://bank.example/ns/edge/sa/gateway"
LEDGER = "spiffe://bank.example/ns/core/sa/ledger"
START = datetime(2026, 1, 1, tzinfo=UTC)
SECOND = 1_000_000_000


class SteppingClock:
    """A clock that goes on only when told."""

    def __init__(self) -> None:
        self.time = START

    def now(self) -> datetime:
        return self.time

    def advance(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)

    @property
    def nanoseconds(self) -> int:
        return int(self.time.timestamp() * 1_000_000) * 1000


def inbound(start: int, call: str, *, peer: str = GATEWAY) -> bytes:
    """Return the callee's line about a request."""
    return _line(
        kind="inbound", start=str(start), ns=1000, call=call, peer=peer, hs=1, status=200,
        method="GET", path="/v1/x", rule="ledger.accepts[0]", remote="127.0.0.1:5", rx=1, tx=2,
    )  # fmt: skip


def outbound(start: int, call: str, *, to: str = LEDGER, reached: bool = True) -> bytes:
    """Return the caller's line about a request."""
    more = {"uremote": "127.0.0.1:15443"} if reached else {}
    return _line(
        kind="outbound", start=str(start), ns=1000, call=call, to=to, status=200, method="GET",
        path="/v1/x", authority="ledger", **more,
    )  # fmt: skip


def told(line: bytes, *, owner: str) -> Told:
    """Return what one line tells, as the merge takes it."""
    found = report_of(parse_entry(line), owner=owner, naming=Naming())
    assert found is not None
    return Told(found.key, found.side, found.end, found.call)


def _line(**fields: object) -> bytes:
    return json.dumps(fields).encode() + b"\n"
