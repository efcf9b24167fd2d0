"""A service in a container: both halves of each order, and the right container after a crash."""

from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from meshwarden.adapters.containers import ContainerDriver
from meshwarden.control.response.placed_driver import PlacedDriver
from meshwarden.control.response.process_driver import ProcessDriver
from meshwarden.kernel import DependencyError, StateError
from meshwarden.response import Instance

OLD, FRESH = Instance(service="pay", name="pay-1-1"), Instance(service="pay", name="pay-1-2")
Said = list[tuple[str, str]]


@dataclass
class Supervisor:
    """What the supervisor does, noted."""

    folder: Path
    said: Said
    now: Instance = OLD
    fails: bool = False

    @property
    def layout(self) -> SimpleNamespace:
        return SimpleNamespace(app_socket=lambda service: self.folder / service)

    async def running(self, service: str) -> Instance | None:
        return self.now if service == "pay" else None

    async def cut_network(self, instance: Instance) -> str:
        self.said.append(("cut", instance.name))
        if self.fails:
            raise DependencyError("driver.supervisor", "it does not answer")
        return "sidecar"

    async def network_is_cut(self, instance: Instance) -> bool:
        return ("cut", instance.name) in self.said

    async def stop(self, instance: Instance) -> None:
        self.said.append(("stop", instance.name))

    async def replace(self, instance: Instance, *, timeout_s: float) -> Instance:
        del timeout_s
        if self.fails:
            raise DependencyError("driver.supervisor", "it does not answer")
        self.said.append(("replace", instance.name))
        self.now = FRESH
        return FRESH


@dataclass
class Containers:
    """One container, whose id is another after a replacement."""

    said: Said
    id: str = "c1"
    cut: set[str] = field(default_factory=set)

    async def running(self, service: str) -> Instance | None:
        return Instance(service=service, name=self.id)

    async def cut_network(self, instance: Instance) -> str:
        self.cut.add(instance.name)
        return "engine"

    async def network_is_cut(self, instance: Instance) -> bool:
        return instance.name in self.cut

    async def replace(self, instance: Instance, *, timeout_s: float) -> Instance:
        del timeout_s
        self.said.append(("replace", instance.name))
        self.id = "c2"
        return Instance(service="pay", name="c2")


@pytest.fixture
def said() -> Said:
    return []


@pytest.fixture
def supervisor(tmp_path: Path, said: Said) -> Supervisor:
    return Supervisor(folder=tmp_path, said=said)


@pytest.fixture
def engine(said: Said) -> Containers:
    return Containers(said=said)


@pytest.fixture
def driver(tmp_path: Path, supervisor: Supervisor, engine: Containers) -> PlacedDriver:
    return PlacedDriver(
        processes=cast("ProcessDriver", supervisor),
        containers={"pay": cast("ContainerDriver", engine)},
        folder=tmp_path / "containers",
    )


async def test_both_halves_are_cut(driver: PlacedDriver, engine: Containers) -> None:
    assert await driver.cut_network(OLD) == "sidecar; engine"
    assert await driver.network_is_cut(OLD)
    engine.cut.clear()
    assert not await driver.network_is_cut(OLD)


async def test_what_one_half_does_not_do_is_an_error_and_the_other_holds(
    driver: PlacedDriver, supervisor: Supervisor, engine: Containers
) -> None:
    supervisor.fails = True
    with pytest.raises(DependencyError):
        await driver.cut_network(OLD)
    assert engine.cut == {"c1"}


async def test_a_replacement_that_was_interrupted_goes_on_with_the_old_container(
    driver: PlacedDriver, supervisor: Supervisor, said: Said
) -> None:
    await driver.cut_network(OLD)
    supervisor.fails = True
    with pytest.raises(DependencyError):
        await driver.replace(OLD, timeout_s=1)
    supervisor.fails = False
    assert await driver.replace(OLD, timeout_s=1) == FRESH
    assert [name for what, name in said if what == "replace"] == ["c1", "c1", "pay-1-1"]
    assert await driver.replace(OLD, timeout_s=1) == FRESH


async def test_the_replacement_is_never_taken_for_the_suspect(
    driver: PlacedDriver, supervisor: Supervisor, engine: Containers
) -> None:
    supervisor.now = FRESH
    with pytest.raises(StateError) as refused:
        await driver.cut_network(OLD)
    assert refused.value.code == "driver.gone"
    assert engine.cut == set()


async def test_who_runs_in_no_container_is_the_supervisor_s_alone(driver: PlacedDriver) -> None:
    other = Instance(service="ledger", name="ledger-1-1")
    assert await driver.cut_network(other) == "sidecar"
