"""Only a laboratory's watch is told the time, once, and only in numbers that make sense."""

import json
from pathlib import Path

import httpx
import pytest
from tests.unit.plane.bench import Bench

from meshwarden.console.api import build_api
from meshwarden.control.plane import ControlPlane
from meshwarden.control.watching import BehaviourSettings
from meshwarden.control.watching.opening import open_watch

PACE = {"at": 1, "shows": 2, "speed": 60.0}


def plane_of(tmp_path: Path, settings: BehaviourSettings) -> ControlPlane:
    bench = Bench(tmp_path)
    plane = bench.plane()
    plane.watch = open_watch(
        settings, tmp_path / "model", policy=plane.first.policy, clock=bench.clock,
        tell=bench.findings.store_finding,
    )  # fmt: skip
    return plane


async def post(plane: ControlPlane, body: object) -> int:
    transport = httpx.ASGITransport(app=build_api(plane))
    async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return (await client.post("/v1/behaviour/pace", content=content)).status_code


async def test_a_paced_watch_is_told_once(tmp_path: Path) -> None:
    plane = plane_of(tmp_path, BehaviourSettings(paced=True))
    assert await post(plane, PACE) == 200
    assert plane.watch
    assert plane.watch.figures().paced
    assert await post(plane, PACE) == 409


@pytest.mark.parametrize("settings", [BehaviourSettings(), BehaviourSettings(watch=False)])
async def test_a_mesh_in_earnest_goes_by_the_clock(
    tmp_path: Path, settings: BehaviourSettings
) -> None:
    assert await post(plane_of(tmp_path, settings), PACE) == 409


@pytest.mark.parametrize("body", [
    b"", b"[]", b"{", {}, PACE | {"speed": 0}, PACE | {"speed": "x"}, PACE | {"at": None},
    PACE | {"speed": float("nan")}, PACE | {"at": "9" * 2000}, b"[" * 900,
])  # fmt: skip
async def test_what_is_no_pace_is_refused(tmp_path: Path, body: object) -> None:
    plane = plane_of(tmp_path, BehaviourSettings(paced=True))
    assert await post(plane, body) == 422
    assert plane.watch
    assert plane.watch.holds
