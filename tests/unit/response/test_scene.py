"""What of the calls in the record is our own doing, and says nothing of how anybody behaves."""

from pathlib import Path
from typing import cast

import pytest
from tests.unit.plane.bench import DOMAIN, Bench

from meshwarden.control.response.actions.scene import Scene
from meshwarden.kernel import Call, calls_to_table
from meshwarden.response import Driver

SECOND = 10**9


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.fixture
def scene(bench: Bench) -> Scene:
    return Scene(plane=bench.plane(), driver=cast("Driver", None), evidence=bench.directory)


def call(bench: Bench, *, destination: str = "back", seconds: float = 0.0) -> Call:
    now = int(bench.clock.now().timestamp())
    return Call(
        time=now * SECOND + int(seconds * SECOND),
        source=f"{DOMAIN}/front",
        destination=f"{DOMAIN}/{destination}",
        protocol="http",
        denied=False,
        reporter="source",
    )


def _is_own(scene: Scene, one: Call) -> bool:
    return not scene.others(calls_to_table([one])).to_pylist()


def test_who_fails_at_a_suspect_that_was_cut_off_is_not_suspected(
    bench: Bench, scene: Scene
) -> None:
    assert not _is_own(scene, call(bench))
    scene.went(f"{DOMAIN}/back")
    assert _is_own(scene, call(bench, seconds=60))
    assert not _is_own(scene, call(bench, destination="other", seconds=60))


def test_calls_count_again_once_it_serves(bench: Bench, scene: Scene) -> None:
    scene.went(f"{DOMAIN}/back")
    bench.clock.advance(seconds=30)
    scene.came_back(f"{DOMAIN}/back")
    assert _is_own(scene, call(bench, seconds=1))
    assert not _is_own(scene, call(bench, seconds=10))
