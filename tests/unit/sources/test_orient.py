"""Reversed connections are turned; where nothing tells, the log's direction stands."""

import pytest

from meshwarden.adapters.sources.orient import Orienter
from meshwarden.adapters.sources.row import Row


def _row(source: int, destination: int, *, host: str = "a") -> Row:
    return {
        "time": 1, "source": host, "destination": "b", "source_instance": host,
        "destination_instance": "b", "source_port": source, "destination_port": destination,
        "request_bytes": 1, "response_bytes": 2,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("ports", "turned"),
    [
        ((443, 51234), True), ((51234, 443), False), ((5432, 40000), True), ((40000, 5432), False),
        ((53, 53), False), ((51234, 40000), False), ((9999, 51234), True), ((51234, 9999), False),
        ((443, 8080), False), ((0, 51234), True),
    ],
)  # fmt: skip
def test_by_port(ports: tuple[int, int], turned: bool) -> None:
    found = Orienter().turned(_row(*ports))
    assert (found["source"] == "b") is turned
    assert found["request_bytes"] == (2 if turned else 1)


def test_a_port_that_several_clients_met_is_a_servers() -> None:
    orienter = Orienter()
    for client in range(3):
        orienter.turned(_row(50_000 + client, 40_123, host=f"client-{client}"))
    late: Row = {
        "time": 1, "source": "b", "destination": "c", "source_instance": "b",
        "destination_instance": "c", "source_port": 40_123, "destination_port": 50_009,
    }  # fmt: skip
    assert orienter.turned(late)["destination"] == "b"


def test_memory_is_bounded_under_a_scan() -> None:
    orienter = Orienter()
    for port in range(200_000):
        orienter.turned(_row(50_000, port % 32_000, host=f"h{port // 32_000}"))
        orienter.turned(
            _row(50_000, port % 32_000, host="x") | {"destination_instance": f"s{port}"}
        )
    assert len(orienter._clients) <= 65_536
