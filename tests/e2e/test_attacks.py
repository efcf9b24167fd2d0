"""Attacks on a real bank: found by the live watch, judged by the targets' own state."""

import asyncio
import os
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.e2e.small_mesh import rows_of

from meshwarden.adapters.clock import SystemClock
from meshwarden.adapters.network import why_unavailable
from meshwarden.adapters.storage.calls import load_calls
from meshwarden.adapters.storage.findings import FileFindingStore
from meshwarden.control.layout import BEHAVIOUR_STATE
from meshwarden.control.watching import Pace
from meshwarden.kernel import Finding, SpiffeId
from meshwarden.lab.attacks import ATTACKS
from meshwarden.lab.attacks.forgotten import render_policy
from meshwarden.lab.attacks.model import chance_of
from meshwarden.lab.attacks.siege import Siege, lay_siege
from meshwarden.lab.attacks.simulate import attack_calls
from meshwarden.lab.bank.directory import Directory
from meshwarden.lab.bank.ledger_db import find_binaries
from meshwarden.lab.demo import SPEED, START, customer_model
from meshwarden.lab.history import learn_history
from meshwarden.lab.load import Load
from meshwarden.lab.replay import Replay, tell_replays
from meshwarden.lab.stage import CUSTOMERS, SEED, Stage, staged
from meshwarden.lab.timeline import PRESENTED, AttackTimeline

pytestmark = [pytest.mark.e2e, pytest.mark.alone, pytest.mark.timeout(240)]
REPLAY = "token-replay"
ORDER = ("exfiltration", "lateral", "scan", REPLAY)  # an alarm makes more about its parties dearer
LASTS_S = 4.0
QUIET_S = 4.0
BUDGET = 10.0  # three attacks within half an hour of the bank's day are more than one is for
ISOLATED = why_unavailable() is None


def now_ns() -> int:
    return int(SystemClock().now().timestamp() * 1_000_000) * 1000


@dataclass(frozen=True, kw_only=True)
class Campaign:
    """Some quiet time, then one attack after the other, on one bank."""

    began: int
    timelines: dict[str, AttackTimeline]
    findings: list[Finding]
    calls: list[dict[str, object]]
    replays: tuple[Replay, ...]


@pytest.fixture(scope="module")
def campaign() -> Iterator[Campaign]:
    # Not below pytest's own folder: PostgreSQL runs as another user, who cannot pass that.
    with tempfile.TemporaryDirectory(prefix="mw-") as folder:
        yield asyncio.run(conduct(Path(folder)))


async def conduct(state: Path) -> Campaign:
    postgres = find_binaries() is not None
    model = customer_model()
    learn_history(
        state / BEHAVIOUR_STATE, model, until=START, days=4, seed=1, postgres=postgres,
        false_alarms_per_day=BUDGET,
    )  # fmt: skip
    attacked = [ATTACKS[name].service for name in ORDER]
    policy = render_policy(ATTACKS[REPLAY])  # the others gain nothing by what is forgotten there
    async with staged(
        state, environment=os.environ, attacked=attacked, access_policy=policy
    ) as stage:
        load = Load(stage.edge, model=model, directory=Directory(SEED, CUSTOMERS))
        timeline = model.timeline(start=START, span_s=60 * SPEED)
        shows = int(START.timestamp()) * 1_000_000_000
        await stage.watch_ready()
        await stage.set_pace(Pace(at=now_ns(), shows=shows, speed=SPEED))
        loading = asyncio.create_task(load.run(timeline.actions(), speed=SPEED))
        await asyncio.wait({loading}, timeout=QUIET_S)
        began = now_ns()
        sieges = [await besiege(stage, load, name) for name in ORDER]
        loading.cancel()
        await asyncio.wait({loading})
    calls = load_calls([state / "calls"]).table
    findings = list(FileFindingStore(state / "findings.jsonl").load_findings(limit=10_000))
    return Campaign(
        began=began,
        timelines={siege.raid.attack.name: siege.told(findings, calls) for siege in sieges},
        findings=findings,
        calls=rows_of(calls),
        replays=tell_replays(
            sieges[-1].raid.foothold.loot, SpiffeId.parse(sieges[-1].suspect), stage.policy,
            findings, calls,
        ),
    )  # fmt: skip


async def besiege(stage: Stage, load: Load, name: str) -> Siege:
    return await lay_siege(
        stage, ATTACKS[name], seconds=LASTS_S, seed=7, now_ns=now_ns,
        failed_customers=lambda: load.report.total.failed,
    )  # fmt: skip


@pytest.mark.parametrize("name", ORDER)
def test_an_attack_is_in_the_record_and_found(campaign: Campaign, name: str) -> None:
    told = campaign.timelines[name]
    assert told.steps > 0
    assert told.started is not None
    assert told.first_malicious_call is not None
    assert told.first_malicious_call >= told.started
    assert told.found is not None
    assert told.found >= told.first_malicious_call
    assert told.by is not None
    assert told.by.subject.endswith(f"/{told.attack.service}")


def test_nothing_was_found_before_the_first_attack(campaign: Campaign) -> None:
    before = [finding.sentence for finding in campaign.findings if finding.time < campaign.began]
    assert before == []


def test_data_that_left_is_known_from_where_it_arrived(campaign: Campaign) -> None:
    told = campaign.timelines["exfiltration"]
    assert told.succeeded is not None
    assert told.first_malicious_call is not None
    assert "24 requests, 12,582,912 octets arrived" in told.got


def test_the_intruder_who_wants_to_book_gets_no_row(campaign: Campaign) -> None:
    told = campaign.timelines["lateral"]
    assert told.succeeded is None
    assert told.got == "nothing"
    refused = [
        call for call in campaign.calls
        if str(call["source"]).endswith("/scoring") and call["denied"] and not call["transaction"]
    ]  # fmt: skip
    assert len(refused) == told.steps


def test_a_stolen_token_is_refused_where_a_rule_binds_it_and_found_where_none_does(
    campaign: Campaign,
) -> None:
    bound, free = sorted(campaign.replays, key=lambda one: not one.bound)
    assert (bound.bound, bound.route, bound.tried, bound.refused) == (True, "/v1/transfers", 4, 4)
    assert (free.bound, free.tried, free.refused) == (False, 4, 0)
    told = campaign.timelines[REPLAY]
    assert (told.succeeded, told.got) == (None, "nothing")
    for one in (bound, free):
        assert one.found is not None
        assert one.found >= one.first
        assert one.sentence is not None
        assert "that it never got" in one.sentence


def test_nobody_is_said_to_have_presented_what_it_was_given(campaign: Campaign) -> None:
    told = [one for one in campaign.findings if one.code == PRESENTED]
    assert {one.subject.rpartition("/")[2] for one in told} == {"scoring"}
    assert len(told) == len(campaign.replays)


@pytest.mark.skipif(not ISOLATED, reason="services share this machine's ports")
@pytest.mark.parametrize("name", ["scan", "lateral"])
def test_the_simulation_writes_the_calls_that_the_attack_leaves(
    campaign: Campaign, name: str
) -> None:
    simulated = rows_of(attack_calls(ATTACKS[name], chance_of(7, name), START))
    suspect = simulated[0]["source"]
    recorded = [
        call for call in campaign.calls
        if call["source"] == suspect and (call["denied"] or name == "scan")
        and not (name == "lateral" and call["transaction"])
    ]  # fmt: skip
    assert {form(call) for call in recorded} == {form(call) for call in simulated}


def form(call: dict[str, object]) -> tuple[object, ...]:
    """Return what a call is, whatever its time, sizes and the address that it was for."""
    destination = re.sub(r":[0-9.]+$", ":address", str(call["destination"]))
    names = ("protocol", "destination_port", "method", "route", "status", "denied", "rule",
             "reporter", "mtls", "response_bytes")  # fmt: skip
    return (destination, *(call[name] for name in names))


@pytest.mark.skipif(not ISOLATED, reason="services share this machine's ports")
def test_a_scan_of_isolated_services_gets_no_answer(campaign: Campaign) -> None:
    told = campaign.timelines["scan"]
    assert told.succeeded is None
    knocks = [
        call for call in campaign.calls
        if str(call["source"]).endswith("/notifications") and call["protocol"] == "tcp"
    ]  # fmt: skip
    assert knocks
    assert all(call["denied"] for call in knocks)
