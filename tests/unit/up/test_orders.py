"""Who may order what of a supervisor: the very process that it started, and nothing malformed."""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from meshwarden.control.supervision.custody import Custody
from meshwarden.control.supervision.orders import Order, parse_order, taking_orders
from meshwarden.kernel import InputError, StateError


class FakeCustody(Custody):
    """Answers, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []

    async def is_cut(self, service: str, instance: str) -> bool:
        self.asked.append((service, instance))
        if service == "gone":
            raise StateError("driver.gone", "it was replaced")
        return True


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[tuple[Path, FakeCustody]]:
    socket, custody = tmp_path / "orders.sock", FakeCustody()
    async with taking_orders(custody, socket, allowed=os.getpid):
        yield socket, custody


async def said(socket: Path, raw: bytes) -> bytes:
    reader, writer = await asyncio.open_unix_connection(socket)
    try:
        writer.write(raw)
        writer.write_eof()
        async with asyncio.timeout(20):
            return await reader.read()
    except ConnectionError:  # closed without reading
        return b""
    finally:
        writer.close()


def order(**changes: object) -> bytes:
    wanted = {"order": "is-cut", "service": "ledger", "instance": "ledger-1-1"} | changes
    return json.dumps(wanted).encode() + b"\n"


async def test_an_order_of_the_control_plane_is_carried_out(served: Any) -> None:
    socket, custody = served
    assert json.loads(await said(socket, order())) == {"done": True}
    assert custody.asked == [("ledger", "ledger-1-1")]


async def test_another_process_gets_no_answer(tmp_path: Path) -> None:
    custody, socket = FakeCustody(), tmp_path / "orders.sock"
    async with taking_orders(custody, socket, allowed=lambda: os.getpid() + 1):
        assert await said(socket, order()) == b""
    assert custody.asked == []


async def test_nobody_is_served_while_no_control_plane_runs(tmp_path: Path) -> None:
    custody, socket = FakeCustody(), tmp_path / "orders.sock"
    async with taking_orders(custody, socket, allowed=lambda: None):
        assert await said(socket, order()) == b""


async def test_only_its_own_user_may_open_the_socket(served: Any) -> None:
    socket, _ = served
    assert socket.stat().st_mode & 0o777 == 0o600


async def test_an_instance_that_was_replaced_is_a_stable_code(served: Any) -> None:
    socket, _ = served
    assert json.loads(await said(socket, order(service="gone")))["error"] == "driver.gone"


@pytest.mark.parametrize(
    "raw",
    [
        b"\n",
        b"{}\n",
        b"[1]\n",
        b"null\n",
        b"{\n",
        b"\xff\xfe\n",
        b"[" * 4000 + b"\n",
        order(order="format-disk"),
        order(service=7),
        order(instance=None),
        order(timeout_s="soon"),
        order(timeout_s=-1),
        order(timeout_s=1e9),
        b'{"order": "stop", "service": "' + b"x" * 10_000 + b'"}\n',
        b'{"order": "stop"',
    ],
)
async def test_what_is_no_order_is_refused(served: Any, raw: bytes) -> None:
    socket, custody = served
    answer = await said(socket, raw)
    assert json.loads(answer)["error"] == "orders.malformed"
    assert custody.asked == []


def test_nan_is_no_time_out() -> None:
    with pytest.raises(InputError):
        parse_order(order(timeout_s=float("nan")))


def test_every_order_has_a_name() -> None:
    assert {parse_order(order(order=one))[0] for one in Order} == set(Order)
