"""People call alarms benign: of services they can name, for a time, with a reason."""

from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.unit.plane.bench import Bench

from meshwarden.console.api import build_api
from meshwarden.control.plane import ControlPlane
from meshwarden.control.watching import BehaviourSettings
from meshwarden.control.watching.opening import open_watch

VERDICTS = "/v1/behaviour/verdicts"
PAYMENTS = "spiffe://bank.example/payments"
GIVEN = {"source": PAYMENTS, "days": 30, "reason": "a migration", "who": "ana"}


def plane_of(bench: Bench, model: Path, *, watched: bool = True) -> ControlPlane:
    plane = bench.plane()
    plane.watch = open_watch(
        BehaviourSettings(watch=watched), model, policy=plane.first.policy, clock=bench.clock,
        tell=bench.findings.store_finding,
    )  # fmt: skip
    return plane


async def ask(plane: ControlPlane, method: str, body: object = None) -> httpx.Response:
    transport = httpx.ASGITransport(app=build_api(plane))
    async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
        return await client.request(method, VERDICTS, json=body)


async def test_a_verdict_outlives_the_control_plane_and_is_a_finding(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    plane = plane_of(bench, tmp_path / "model")
    service = next(iter(plane.first.policy.services))
    identity = str(plane.first.policy.services[service].identity)
    scope = {"destination": "external:api.example", "channel": "new edge"}
    answer = await ask(plane, "POST", GIVEN | {"source": service} | scope)
    assert answer.status_code == 200
    assert answer.json()["source"] == identity
    [told] = bench.findings.load_findings()
    assert told.code == "behaviour.verdict"
    assert "'a migration'" in told.sentence
    again = plane_of(bench, tmp_path / "model")
    [kept] = (await ask(again, "GET")).json()["verdicts"]
    assert kept == answer.json()
    assert (kept["by"], kept["channel"]) == ("ana", "new edge")
    assert kept["said"] == bench.clock.now().isoformat(timespec="seconds")


@pytest.mark.parametrize(("change", "why"), [
    ({"days": 0}, "1 to 365"),
    ({"days": 366}, "1 to 365"),
    ({"reason": ""}, "a reason"),
    ({"reason": "x" * 501}, "a reason"),
    ({"who": ""}, "who says so"),
    ({"who": "x" * 101}, "who says so"),
    ({"source": ""}, "no source"),
    ({"channel": "no such"}, "channels: "),
    ({"until": 1}, "unknown"),
    ({"days": "30"}, "wrong type"),
])  # fmt: skip
async def test_what_is_no_verdict_is_refused(
    tmp_path: Path, change: dict[str, Any], why: str
) -> None:
    plane = plane_of(Bench(tmp_path), tmp_path / "model")
    answer = await ask(plane, "POST", GIVEN | change)
    assert answer.status_code == 422
    assert why in answer.text
    assert (await ask(plane, "GET")).json() == {"verdicts": []}


async def test_who_is_no_service_is_named_in_full_or_refused(tmp_path: Path) -> None:
    plane = plane_of(Bench(tmp_path), tmp_path / "model")
    service = next(iter(plane.first.policy.services))
    identity = str(plane.first.policy.services[service].identity)
    slip = await ask(plane, "POST", GIVEN | {"source": f"{service}x"})
    assert (slip.status_code, slip.json()["title"]) == (422, "behaviour.party")
    assert identity in slip.json()["hint"]
    slip = await ask(plane, "POST", GIVEN | {"source": service, "destination": "nosuch"})
    assert slip.status_code == 422
    for new in ("spiffe://elsewhere.example/new", "external:api.example", "unknown"):
        answer = await ask(plane, "POST", GIVEN | {"source": new, "destination": service})
        assert (answer.status_code, answer.json()["source"]) == (200, new)


async def test_a_mesh_that_is_not_watched_says_so(tmp_path: Path) -> None:
    answer = await ask(plane_of(Bench(tmp_path), tmp_path / "model", watched=False), "POST", GIVEN)
    assert (answer.status_code, answer.json()["title"]) == (422, "behaviour.unwatched")
