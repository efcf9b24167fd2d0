"""`survey` on an Istio log: what is odd in it, and how far that can be said from nothing."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from meshwarden.cli import run

START = datetime(2026, 11, 23, tzinfo=UTC)
ACCOUNT = "spiffe://cluster.local/ns/shop/sa/"


def _line(number: int, after: timedelta, source: str, destination: str, **fields: Any) -> str:
    line = {
        "start_time": (START + after).isoformat(timespec="milliseconds"), "method": "GET",
        "path": f"/{destination}/{number}", "response_code": 200, "response_flags": "-",
        "bytes_received": 0, "bytes_sent": 178 + number % 9, "duration": 4,
        "request_id": f"{source}-{destination}-{number}",
        "upstream_cluster": f"inbound|9080||{destination}.shop.svc.cluster.local",
        "downstream_peer_uri_san": ACCOUNT + source, "downstream_local_uri_san": ACCOUNT + destination,
    }  # fmt: skip
    return json.dumps(line | fields) + "\n"


def _usual(minutes: int) -> list[str]:
    pairs = (("web", "reviews"), ("reviews", "ratings"), ("web", "details"))
    return [
        _line(minute, timedelta(minutes=minute, seconds=7 * k), *pair)
        for minute in range(minutes)
        for k, pair in enumerate(pairs)
    ]


def _scan(after: timedelta) -> list[str]:
    return [
        _line(k, after + timedelta(seconds=k), "ratings", f"vault{k % 9}", response_code=403)
        for k in range(30)
    ]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_scan_in_one_of_two_logs_is_found_whatever_their_order(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "a.log").write_text("".join(_scan(timedelta(hours=40))))
    (here / "b.log").write_text("".join(_usual(48 * 60)))
    assert run(["survey", "a.log", "b.log", "-o", "out"]) == 1
    shown = capsys.readouterr().out
    found = json.loads((here / "out/survey.json").read_text())["anomalies"]
    high = [one for one in found["findings"] if one["severity"] == "high"]
    assert {one["subject"] for one in high} == {ACCOUNT + "ratings"}
    assert high[0]["sentence"] in shown
    assert high[0]["time"].startswith("2026-11-24T16:00:")
    assert "the first 15 minutes were only learned" in shown
    assert "less than a week" in shown
    assert found["judged"] < found["calls"] == 48 * 60 * 3 + 30


def test_where_nothing_is_odd_none_is_found(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "a.log").write_text("".join(_usual(10 * 60)))
    assert run(["survey", "a.log"]) == 0
    shown = capsys.readouterr().out
    assert "Anomalies\nnone found\n" in shown
    assert "less than a day: alarms take more evidence" in shown


def test_a_log_that_only_teaches_says_that_nothing_was_judged(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "a.log").write_text("".join(_usual(10)))
    assert run(["survey", "a.log", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["anomalies"]["judged"] == 0
    assert run(["survey", "a.log"]) == 0
    assert "judged      none: nothing is known before these calls" in capsys.readouterr().out
