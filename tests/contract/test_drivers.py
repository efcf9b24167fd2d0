"""What every driver does, on real processes, isolated ones, and real containers."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from tests.contract.places import SUSPECT, Place, containers, processes
from tests.e2e.podman import NEEDS_PODMAN

from meshwarden.adapters.forensics import changed_files
from meshwarden.adapters.network import why_unavailable
from meshwarden.kernel import DependencyError, StateError
from meshwarden.response import Instance

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(600),
    pytest.mark.asyncio(loop_scope="module"),
]
ISOLATED = pytest.mark.skipif(why_unavailable() is not None, reason="needs root and nftables")
PLACES = [
    "processes",
    pytest.param("isolated", marks=ISOLATED),
    pytest.param("containers", marks=NEEDS_PODMAN),
]


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=PLACES)
async def standing(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Place]:
    folder = tmp_path_factory.mktemp("d")
    made = {
        "processes": lambda: processes(folder, isolated=False),
        "isolated": lambda: processes(folder, isolated=True),
        "containers": lambda: containers(folder),
    }
    async with made[request.param]() as one:
        yield one


@pytest_asyncio.fixture(loop_scope="module")
async def place(standing: Place) -> AsyncIterator[Place]:
    """The place as it stands, its suspect a clean one that no other test has touched."""
    yield standing
    await standing.driver.replace(await standing.suspect(), timeout_s=60)


def state_of(pid: int) -> str:
    return Path(f"/proc/{pid}/status").read_text().split("State:")[1].split()[0]


def remove(pid: int, path: str) -> None:
    Path(f"/proc/{pid}/root{path}").unlink()


async def test_an_instance_is_the_same_until_it_is_replaced(place: Place) -> None:
    suspect = await place.suspect()
    assert suspect.service == SUSPECT
    assert await place.suspect() == suspect
    assert await place.driver.running("nobody") is None
    assert await place.driver.healthy(suspect)
    line = await place.line()
    await line.say("die")  # the place starts it again: it is the same suspect
    line.close()
    (await place.line()).close()
    assert await place.suspect() == suspect


async def test_frozen_where_they_are_looked_at_and_thawed(place: Place) -> None:
    suspect, line = await place.suspect(), await place.line()
    await line.say("fork")
    assert await line.beats()
    for _ in range(2):
        assert await place.driver.freeze(suspect) == 2
        assert await line.falls_silent()
    sources = await place.driver.snapshot_sources(suspect)
    assert sources.leader is not None
    assert state_of(sources.leader) in {"T", "t"}
    assert sources.facts
    assert sources.started > 0
    for _ in range(2):
        await place.driver.thaw(suspect)
    assert await line.beats()
    await place.driver.stop(suspect)
    assert await line.falls_silent()
    line.close()


async def test_what_it_left_behind_is_kept(place: Place) -> None:
    suspect, line = await place.suspect(), await place.line()
    sources = await place.driver.snapshot_sources(suspect)
    path = f"{sources.directories[0]}/left-behind"
    await line.say(f"write {path}")
    assert await line.beats()
    await place.driver.freeze(suspect)
    sources = await place.driver.snapshot_sources(suspect)
    assert sources.leader is not None
    found = changed_files(sources.leader, sources.directories, since=sources.started)
    assert path in [one.path for one in found]
    assert all(one.exists() for one in sources.files.values())
    remove(sources.leader, path)
    line.close()


async def test_cut_off_on_open_connections_and_given_back(place: Place) -> None:
    suspect, line = await place.suspect(), await place.line()
    assert not await place.driver.network_is_cut(suspect)
    for _ in range(2):
        assert await place.driver.cut_network(suspect)
        assert await place.driver.network_is_cut(suspect)
        assert await line.falls_silent()
        assert not await place.is_reached()
    line.close()
    for _ in range(2):
        await place.driver.restore_network(suspect)
    assert not await place.driver.network_is_cut(suspect)
    (await place.line()).close()


async def test_ended_it_stays_ended(place: Place) -> None:
    suspect, line = await place.suspect(), await place.line()
    await place.driver.cut_network(suspect)
    for _ in range(2):
        await place.driver.stop(suspect)
        assert await line.falls_silent()
    assert not await place.healthy(suspect)
    assert await place.suspect() == suspect
    line.close()


async def test_a_clean_one_takes_its_place_and_is_never_touched_by_mistake(place: Place) -> None:
    suspect = await place.suspect()
    await place.driver.cut_network(suspect)
    fresh = await place.driver.replace(suspect, timeout_s=60)
    assert fresh != suspect
    assert await place.driver.replace(suspect, timeout_s=60) == fresh
    assert await place.suspect() == fresh
    assert await place.driver.healthy(fresh)
    for ask in (place.driver.stop, place.driver.freeze, place.driver.cut_network):
        with pytest.raises(StateError):
            await ask(suspect)
    line = await place.line()
    assert await line.beats()
    assert not await place.driver.network_is_cut(fresh)
    line.close()


async def test_a_frozen_and_cut_one_is_replaced(place: Place) -> None:
    suspect = await place.suspect()
    await place.driver.cut_network(suspect)
    await place.driver.freeze(suspect)
    assert await place.driver.replace(suspect, timeout_s=60) != suspect
    (await place.line()).close()


async def test_nobody_is_no_instance(place: Place) -> None:
    nobody = Instance(service="nobody", name="nobody-1")
    for ask in (place.driver.stop, place.driver.freeze, place.driver.cut_network):
        with pytest.raises((DependencyError, StateError)) as refused:
            await ask(nobody)
        assert refused.value.code.startswith("driver.")
