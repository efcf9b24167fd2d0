"""What customers saw of an incident, from the edges' calls."""

from typing import Any

import pyarrow as pa
import pytest

from meshwarden.kernel import CALL_SCHEMA
from meshwarden.response import customers_in

GATEWAY = "spiffe://bank.example/ns/edge/sa/gateway"


def call(**given: Any) -> dict[str, Any]:
    usual = {
        "time": 100, "source": "external:192.0.2.1", "destination": GATEWAY, "protocol": "http",
        "status": 200, "denied": False, "reporter": "destination",
    }  # fmt: skip
    return usual | given


def table(*calls: dict[str, Any]) -> pa.Table:
    columns = {name: [one.get(name) for one in calls] for name in CALL_SCHEMA.names}
    return pa.table(columns, schema=CALL_SCHEMA)


def test_requests_that_were_not_served_are_failures() -> None:
    calls = table(call(), call(status=404), call(status=503), call(status=None))
    found = customers_in(calls, [GATEWAY], since=0)
    assert (found.requests, found.failures) == (4, 2)


@pytest.mark.parametrize(
    "other",
    [
        {"time": 99},
        {"denied": True, "status": 403},
        {"source": "spiffe://bank.example/ns/core/sa/payments"},
        {"destination": "spiffe://bank.example/ns/core/sa/ledger"},
    ],
)
def test_what_was_before_is_refused_or_goes_on_inside_does_not_count(other: dict[str, Any]) -> None:
    assert customers_in(table(call(**other)), [GATEWAY], since=100).requests == 0


def test_without_calls_nobody_failed() -> None:
    assert str(customers_in(table(), [GATEWAY], since=0)).startswith("0 of 0 customers'")
