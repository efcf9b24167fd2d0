"""Who is still there after everything was started anew is cut off again, and nobody else."""

from dataclasses import dataclass, field, replace
from typing import cast

import pytest

from meshwarden.control.response import recutting
from meshwarden.control.response.recutting import Recutting
from meshwarden.kernel import DependencyError
from meshwarden.response import Driver, Incident, IncidentState, Instance, Step, StepState, Suspect

THERE = Instance(service="pay", name="pay-1")
QUARANTINED = Incident(
    id="i1",
    suspect=Suspect(service="pay", identity="spiffe://test.example/pay", instance="pay-1"),
    opened=0,
    steps=(Step(action="quarantine", state=StepState.VERIFIED),),
)


@dataclass
class Place:
    """One instance, being started: what it answers to each look, in their order."""

    health: list[bool]
    now: Instance = THERE
    cut: bool = False
    asked: list[str] = field(default_factory=list)

    mute: int = 0

    async def running(self, _: str) -> Instance | None:
        if self.mute:
            self.mute -= 1
            raise DependencyError("driver.supervisor", "it does not answer yet")
        return self.now

    async def network_is_cut(self, _: Instance) -> bool:
        self.asked.append("is-cut")
        if len(self.asked) == 1:
            raise DependencyError("driver.supervisor", "it does not answer yet")
        return self.cut

    async def healthy(self, _: Instance) -> bool:
        return self.health.pop(0)

    async def cut_network(self, instance: Instance) -> str:
        self.asked.append(f"cut {instance.name}")
        self.cut = True
        return "cut"


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recutting, "LOOK_S", 0)


async def run(place: Place, *incidents: Incident) -> None:
    again = Recutting(driver=cast("Driver", place), incidents=lambda: incidents)
    await again.run()


async def test_it_is_cut_off_again_once_it_was_healthy_twice_in_a_row() -> None:
    place = Place(health=[False, True, False, True, True])
    await run(place, QUARANTINED)
    assert place.asked == [*["is-cut"] * 6, "cut pay-1"]


async def test_a_supervisor_that_does_not_answer_yet_is_asked_again() -> None:
    place = Place(health=[True, True], mute=3)
    await run(place, QUARANTINED)
    assert place.cut


async def test_one_that_is_cut_off_still_is_left_alone() -> None:
    place = Place(health=[], cut=True)
    await run(place, QUARANTINED)
    assert place.asked == ["is-cut"] * 2


async def test_its_successor_and_those_who_were_released_or_replaced_are_left_alone() -> None:
    successor = Place(health=[], now=Instance(service="pay", name="pay-2"))
    await run(successor, QUARANTINED)
    released = replace(QUARANTINED, recovered=7)
    releasing = replace(QUARANTINED, id="i2", state=IncidentState.RECOVERING)
    replaced = replace(
        QUARANTINED,
        steps=(*QUARANTINED.steps, Step(action="replace", state=StepState.VERIFIED)),
    )
    place = Place(health=[])
    await run(place, released, replaced, releasing)
    assert successor.asked == place.asked == []
