"""An attacker whose goal is to make us cut off the ledger: it ends in a stop and a page, not in an outage.

The controller, its records on a real store, and the guard rails; actions act on a set that a test
can see.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from tests.unit.response.hands import MovableClock, all_hands, controller, reaches, running, steps
from tests.unit.response.world import finding

from meshwarden.adapters.storage.database import open_database
from meshwarden.adapters.storage.incidents import IncidentStore
from meshwarden.adapters.yaml import parse_document
from meshwarden.control.response import Controller
from meshwarden.control.response.paging import Pager
from meshwarden.control.response.suspecting import Suspecting
from meshwarden.kernel import Finding
from meshwarden.policy import parse_policy
from meshwarden.response import (
    MAX_FINDINGS,
    GuardRails,
    IncidentState,
    Instance,
    ServiceFacts,
    StepState,
    verify_record,
)

DOMAIN = "spiffe://bank.example/ns/core/sa"
LEDGER = f"{DOMAIN}/ledger"
NAMES = ("ledger", *(f"s{number}" for number in range(30)))
POLICY = parse_policy(
    parse_document(
        (
            "apiVersion: meshwarden.dev/v1\ntrust_domain: bank.example\nservices:\n"
            + "".join(f"  {name}: {{identity: {DOMAIN}/{name}}}\n" for name in NAMES)
        ).encode(),
        name="access.yaml",
    )
)
BANK = {
    "ledger": ServiceFacts(tier=0, instances=1, healthy=1),
    **{name: ServiceFacts(tier=2, instances=2, healthy=2) for name in NAMES[1:]},
}
QUARANTINE_FIRST = ("quarantine", "observe")
DECIDED = {StepState.VERIFIED, StepState.STOPPED, StepState.WAITING}
Done = set[tuple[str, str]]


@pytest.fixture
def store(tmp_path: Path) -> IncidentStore:
    return IncidentStore(open_database(tmp_path / "state.db"))


@pytest.fixture
def done() -> Done:
    return set()


@pytest.fixture
def pages() -> list[Finding]:
    return []


@pytest.fixture
def attacked(store: IncidentStore, done: Done, pages: list[Finding]) -> Callable[..., Controller]:
    """Return what makes a controller that names suspects as the real one does, and pages."""

    def _made(rails: GuardRails | None = None, clock: MovableClock | None = None) -> Controller:
        one = controller(
            store, hands=all_hands(done), services=BANK, rails=rails, clock=clock,
            order=QUARANTINE_FIRST,
        )  # fmt: skip
        one.records.announce = Pager(tell=pages.append).announce
        one.suspect_of = Suspecting(
            policy=lambda: POLICY,
            instance=lambda service: Instance(service=service, name=f"{service}-1"),
            incidents=one.records.incidents.values,
        ).suspect_of
        return one

    return _made


def about(name: str, *, code: str = "behaviour.volume") -> Finding:
    return replace(finding(code=code), subject=f"{DOMAIN}/{name}")


def touched(done: Done) -> set[str]:
    return {service for action, service in done if action != "notify"}


@pytest.mark.parametrize(
    "code", ["identity.refused", "dataplane.refused", "token.refused", "response.notified"]
)
async def test_ten_thousand_forged_certificates_that_name_the_ledger_do_nothing(
    attacked: Callable[..., Controller], done: Done, pages: list[Finding], code: str
) -> None:
    async with running(attacked()) as one:
        for _ in range(10_000):
            assert await one.take(about("ledger", code=code)) is None
        assert one.records.incidents == {}
    assert (done, pages) == (set(), [])


async def test_ten_thousand_findings_about_a_framed_ledger_are_one_incident_and_one_page(
    attacked: Callable[..., Controller], store: IncidentStore, done: Done, pages: list[Finding]
) -> None:
    async with running(attacked()) as one:
        for number in range(10_000):
            await one.take(about("ledger", code=f"behaviour.kind{number % 40}"))
        incident = one.records.incidents["i1"]
        async with asyncio.timeout(60):
            incident = await one.records.until(
                "i1", lambda it: steps(it)["quarantine"] is StepState.WAITING
            )
        assert list(one.records.incidents) == ["i1"]
    assert touched(done) == set()
    assert [page.code for page in pages] == ["response.waiting"]
    assert len(incident.findings) == MAX_FINDINGS
    assert MAX_FINDINGS + incident.more_findings > 5_000
    assert incident.entries < MAX_FINDINGS + 40, "a flood must not fill the disk"
    assert verify_record(store.load_record("i1")) == incident.entries


async def test_a_flood_about_everybody_takes_no_more_away_than_the_rails_allow(
    attacked: Callable[..., Controller], done: Done, pages: list[Finding]
) -> None:
    rails = GuardRails(max_contained=2, max_actions_per_hour=3)
    async with running(attacked(rails)) as one:
        flood = [about(NAMES[number % len(NAMES)]) for number in range(3_000)]
        for number in range(0, len(flood), 500):
            await asyncio.gather(*map(one.take, flood[number : number + 500]))
        async with asyncio.timeout(90):
            for incident_id in list(one.records.incidents):
                await one.records.until(incident_id, lambda it: it.steps[-1].state in DECIDED)
        assert len(one.records.incidents) == len(NAMES)
    assert len({service for action, service in done if action == "quarantine"}) <= 2
    assert len(touched(done)) <= 3
    assert "ledger" not in touched(done)
    assert max(Counter(page.code for page in pages).values()) <= len(NAMES)
    assert any(page.code == "response.stopped" for page in pages)


async def test_the_circuit_opens_for_everything_but_looking_and_closes_after_an_hour(
    attacked: Callable[..., Controller], done: Done, pages: list[Finding]
) -> None:
    clock = MovableClock()
    rails = GuardRails(max_contained=99, max_actions_per_hour=2)  # one quarantine, one snapshot
    async with running(attacked(rails, clock)) as one:
        await one.take(about("s1"))
        await reaches(one, IncidentState.CONTAINED)
        async with asyncio.timeout(30):
            await one.records.until("i1", lambda it: steps(it)["snapshot"] is StepState.VERIFIED)
            await one.take(about("s2"))
            second = await one.records.until(
                "i2", lambda it: steps(it)["snapshot"] is StepState.STOPPED
            )
        assert steps(second)["quarantine"] is StepState.STOPPED
        assert steps(second)["notify"] is StepState.VERIFIED
        assert [page.code for page in pages] == ["response.stopped"]
        clock.moved += timedelta(hours=1, minutes=1)
        await one.take(about("s3"))
        await reaches(one, IncidentState.CONTAINED, "i3")
    assert touched(done) == {"s1", "s3"}


async def test_what_needs_two_people_is_not_done_for_one_who_asks_twice(
    attacked: Callable[..., Controller], done: Done
) -> None:
    rails = GuardRails(two_people=frozenset({"quarantine"}))
    async with running(attacked(rails)) as one:
        await one.take(about("s1"))
        async with asyncio.timeout(30):
            await one.records.until("i1", lambda it: steps(it)["quarantine"] is StepState.WAITING)
        for _ in range(3):
            await one.approve("i1", "quarantine", who="ada")
        async with asyncio.timeout(30):
            await one.records.until("i1", lambda it: steps(it)["snapshot"] is StepState.VERIFIED)
        incident = one.records.incidents["i1"]
        assert steps(incident)["quarantine"] is StepState.WAITING
        assert ("quarantine", "s1") not in done
        await one.approve("i1", "quarantine", who="bob")
        await reaches(one, IncidentState.CONTAINED)
    assert ("quarantine", "s1") in done


async def test_the_warden_is_not_cut_off_whoever_approves(
    attacked: Callable[..., Controller], done: Done
) -> None:
    one = attacked()
    one.records.deciding.warden = frozenset({LEDGER})
    async with running(one):
        await one.take(about("ledger"))
        for who in ("ada", "bob", "eve"):
            async with asyncio.timeout(30):
                await one.records.until(
                    "i1", lambda it: steps(it)["quarantine"] is StepState.STOPPED
                )
            await one.approve("i1", "quarantine", who=who)
        async with asyncio.timeout(30):
            await one.records.until("i1", lambda it: steps(it)["notify"] is StepState.VERIFIED)
    assert touched(done) == set()
