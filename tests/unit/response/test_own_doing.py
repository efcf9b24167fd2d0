"""What of the calls in the record is our own doing, and says nothing of how anybody behaves."""

from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.plane.bench import DOMAIN, Bench

from meshwarden.control.response.own_doing import OwnDoing
from meshwarden.kernel import Call, calls_to_table

SECOND = 10**9


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.fixture
def own(bench: Bench) -> OwnDoing:
    return OwnDoing(clock=bench.clock)


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


def _is_own(own: OwnDoing, one: Call) -> bool:
    return not own.others(calls_to_table([one])).to_pylist()


def test_who_fails_at_a_suspect_that_was_cut_off_is_not_suspected(
    bench: Bench, own: OwnDoing
) -> None:
    assert not _is_own(own, call(bench))
    own.went(f"{DOMAIN}/back")
    assert _is_own(own, call(bench, seconds=60))
    assert not _is_own(own, call(bench, destination="other", seconds=60))


def test_calls_count_again_once_it_serves(bench: Bench, own: OwnDoing) -> None:
    own.went(f"{DOMAIN}/back")
    bench.clock.advance(seconds=30)
    own.came_back(f"{DOMAIN}/back")
    assert _is_own(own, call(bench, seconds=1))
    assert not _is_own(own, call(bench, seconds=10))


def _refused(bench: Bench, source_port: int | None = None) -> Call:
    return replace(
        call(bench),
        denied=True,
        source="unknown",
        source_instance="10.0.0.1",
        source_port=source_port,
    )


def test_a_connection_that_a_probe_opened_is_not_held_against_anybody(
    bench: Bench, own: OwnDoing
) -> None:
    own.opened(("10.0.0.1", 40_000), since=own.now())
    assert _is_own(own, _refused(bench, 40_000))
    assert not _is_own(own, _refused(bench, 40_001))
    assert not _is_own(own, _refused(bench))
    assert not _is_own(own, replace(_refused(bench, 40_000), denied=False))
    later = call(bench, seconds=60).time
    assert not _is_own(own, replace(_refused(bench, 40_000), time=later))


def test_what_a_suspect_is_answered_that_we_slow_down_counts_for_nothing(
    bench: Bench, own: OwnDoing
) -> None:
    refused = replace(call(bench), status=429)
    assert not _is_own(own, refused)
    own.slowed(f"{DOMAIN}/front")
    assert _is_own(own, refused)
    assert not _is_own(own, replace(refused, status=503))
    assert not _is_own(own, replace(refused, source=f"{DOMAIN}/other"))
    assert _is_own(own, replace(refused, source="x", destination=f"{DOMAIN}/front", status=502))
    assert not _is_own(own, replace(refused, source="x", destination=f"{DOMAIN}/front", status=404))
    own.freed(f"{DOMAIN}/front")
    assert not _is_own(own, replace(call(bench, seconds=60), status=429))


def test_who_is_slowed_down_and_let_go_may_still_be_cut_off(bench: Bench, own: OwnDoing) -> None:
    own.went(f"{DOMAIN}/back")
    own.slowed(f"{DOMAIN}/back")
    own.freed(f"{DOMAIN}/back")
    assert _is_own(own, call(bench, seconds=60))
