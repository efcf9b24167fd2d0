"""The record against real sidecars: one call per request, whatever is refused or killed."""

import asyncio
import sys
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from tests.e2e.recording_pair import (
    GATEWAY,
    LEDGER,
    RULE,
    TCP_RULE,
    Pair,
    exchange,
    reset,
    running_pair,
    together,
    until,
)

from meshwarden.adapters.clock import SystemClock
from meshwarden.adapters.storage.calls import load_calls
from meshwarden.adapters.storage.parts import list_parts
from meshwarden.control.recording import Recorder

pytestmark = pytest.mark.e2e
HELLO = b"GET /v1/x HTTP/1.1\r\nhost: ledger\r\n\r\n"


@pytest_asyncio.fixture
async def pair(tmp_path: Path) -> AsyncIterator[Pair]:
    async with running_pair(tmp_path) as found:
        yield found


async def _recorded(pair: Pair, *, lines: int = 0) -> list[dict[str, Any]]:
    """Wait for `lines`, stop the sidecars, and return what was recorded, in the order of time."""
    await until(lambda: _lines(pair) >= lines)
    await asyncio.gather(pair.gateway.kill(), pair.ledger.kill())
    recorder = Recorder(folder=pair.folder / "calls", clock=SystemClock())
    recorder.follow(pair.gateway.source(GATEWAY))
    recorder.follow(pair.ledger.source(LEDGER))
    figures = await recorder.flush(settle=True)
    await recorder.close()
    assert figures.trouble is None
    assert figures.totals.rejected_lines == 0
    table = load_calls([pair.folder / "calls"]).table.sort_by("time").drop(["time", "duration"])
    found: list[dict[str, Any]] = table.to_pylist()
    return found


def _lines(pair: Pair) -> int:
    return _lines_of(pair.gateway.log) + _lines_of(pair.ledger.log)


def _lines_of(log: Path) -> int:
    return log.read_bytes().count(b"\n") if log.exists() else 0


async def test_a_request_is_recorded_once_with_the_callees_account(pair: Pair) -> None:
    assert await pair.get("/v1/accounts/12345?secret=hunter2") == [200]
    (call,) = await _recorded(pair, lines=2)
    assert (call["source"], call["destination"], call["reporter"]) == (
        GATEWAY, LEDGER, "destination",
    )  # fmt: skip
    assert (call["mtls"], call["denied"], call["rule"]) == (True, False, RULE)
    assert (call["method"], call["route"], call["status"]) == ("GET", "/v1/accounts/{}", 200)
    assert len(call["source_certificate"]) == 64


async def test_a_call_id_from_the_application_is_overwritten(pair: Pair) -> None:
    forged = "x-meshwarden-call: 1\r\nauthorization: Bearer s3cret\r\n"
    assert await pair.get("/v1/x", headers=forged, requests=5) == [200] * 5
    calls = await _recorded(pair, lines=10)
    assert [call["reporter"] for call in calls] == ["destination"] * 5
    assert b"s3cret" not in pair.gateway.log.read_bytes() + pair.ledger.log.read_bytes()


async def test_the_query_is_in_no_log(pair: Pair) -> None:
    await pair.get("/v1/x?secret=hunter2")
    await until(lambda: _lines(pair) == 2)
    assert b"hunter2" not in pair.gateway.log.read_bytes() + pair.ledger.log.read_bytes()


async def test_a_refused_request_names_the_rule(pair: Pair) -> None:
    assert await pair.get("/admin") == [403]
    (call,) = await _recorded(pair, lines=2)
    assert (call["source"], call["denied"], call["rule"]) == (GATEWAY, True, "default-deny")


async def test_a_host_that_is_not_listed_is_refused_by_the_callers_sidecar(pair: Pair) -> None:
    assert await pair.get("/x", host="evil.example") == [403]
    (call,) = await _recorded(pair, lines=1)
    assert (call["source"], call["destination"]) == (GATEWAY, "external:evil.example")
    assert (call["denied"], call["rule"]) == (True, "egress:not-listed")


async def test_a_connection_is_recorded_once(pair: Pair) -> None:
    assert await exchange(pair.outbound_tcp, b"hello") == b"hello"
    (call,) = await _recorded(pair, lines=2)
    assert (call["source"], call["mtls"], call["rule"]) == (GATEWAY, True, TCP_RULE)
    assert (call["protocol"], call["destination_port"]) == ("tcp", 5432)
    assert (call["request_bytes"], call["response_bytes"]) == (5, 5)


@pytest.mark.parametrize(
    ("certificate", "rule", "claimed"),
    [
        ("foreign", "tls:foreign-authority", LEDGER),
        ("expired", "tls:expired", GATEWAY),
        (None, "tls:no-certificate", None),
    ],
)
async def test_a_refused_handshake_leaves_the_name_it_claims_untouched(
    pair: Pair, certificate: str | None, rule: str, claimed: str | None
) -> None:
    for port in (pair.inbound, pair.inbound_tcp):
        assert await pair.knock(certificate, HELLO, port=port) == b""
    calls = await _recorded(pair, lines=2)
    assert [(call["source"], call["claimed"]) for call in calls] == [("unknown", claimed)] * 2
    assert [(call["denied"], call["rule"]) for call in calls] == [(True, rule)] * 2
    assert [(call["mtls"], call["source_certificate"]) for call in calls] == [(False, None)] * 2


async def test_plaintext_is_recorded_as_refused(pair: Pair) -> None:
    for port in (pair.inbound, pair.inbound_tcp):
        assert await exchange(port, HELLO) == b""
    calls = await _recorded(pair, lines=2)
    assert [(call["source"], call["rule"]) for call in calls] == [("unknown", "tls:plaintext")] * 2


async def test_a_certificate_without_the_proof_of_its_key_is_only_a_claim(pair: Pair) -> None:
    for port in (pair.inbound, pair.inbound_tcp):
        await pair.claim("gateway", port=port)
    calls = await _recorded(pair, lines=2)
    assert [(call["source"], call["claimed"]) for call in calls] == [("unknown", GATEWAY)] * 2
    assert [call["rule"] for call in calls] == ["tls:unproven"] * 2


async def test_a_connection_that_says_nothing_is_recorded(pair: Pair) -> None:
    reset(pair.inbound)
    (call,) = await _recorded(pair, lines=1)
    assert (call["source"], call["denied"], call["rule"]) == ("unknown", True, "tls:unproven")


async def test_a_killed_recorder_loses_nothing_and_doubles_nothing(pair: Pair) -> None:
    statuses: Counter[int] = Counter()
    for _ in range(4):  # in all more than two rotations of each log
        sent = asyncio.create_task(together(8, lambda: pair.get("/v1/x", requests=200)))
        before = _newest_part(pair)
        recorder = await asyncio.create_subprocess_exec(
            sys.executable, Path(__file__).with_name("recorder_process.py"), pair.folder
        )
        try:
            await until(lambda before=before: _newest_part(pair) > before + 1)  # type: ignore[misc]
        finally:
            recorder.kill()
            await recorder.wait()
        statuses.update(await sent)
    assert statuses == {200: 6400}
    calls = await _recorded(pair)
    assert len(calls) == 6400
    assert {call["reporter"] for call in calls} == {"destination"}


def _newest_part(pair: Pair) -> int:
    return max((part.last for part in list_parts(pair.folder / "calls")), default=0)


async def test_what_a_killed_sidecar_served_is_in_the_callers_account(pair: Pair) -> None:
    sent = asyncio.create_task(together(8, lambda: pair.get("/v1/x", requests=250)))
    await until(lambda: _lines_of(pair.ledger.log) > 400)
    await pair.ledger.kill()
    await pair.ledger.start()
    statuses = Counter(await sent)
    assert statuses[503] > 0
    calls = await _recorded(pair)
    assert len(calls) == 2000
    by_caller = [call for call in calls if call["reporter"] == "source"]
    # Some hundred were refused; of those answered in the last instant the callee's line is lost.
    assert Counter(call["status"] for call in by_caller)[503] > 0
