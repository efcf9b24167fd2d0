"""The risk of a request: what raises it, what lowers it, what is kept of a subject."""

import math
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from meshwarden.tokens.risk import (
    Assessment,
    History,
    Located,
    Namer,
    Observation,
    Population,
    RiskSettings,
    Verdict,
    assess,
    learn,
    observe_request,
    parse_history,
    render_history,
    values_of,
)
from meshwarden.tokens.risk.features import agent_family
from meshwarden.tokens.risk.history import SLOTS

START = 1_795_449_600
NAMER = Namer(b"test")
SETTINGS = RiskSettings()
HOME = Observation(
    time=START, address="203.0.113.9", network="AS1", country="DE", place=(52.5, 13.4),
    agent="safari/ios", device="safari/ios|a", session="s", session_age_s=60,
    amount=5000.0, payee="landlord",
)  # fmt: skip


def taught(days: int = 40) -> tuple[History, Population]:
    """Return the history of somebody who came daily, among many others."""
    history, population = History(), Population()
    for number in range(2000):
        other = replace(
            HOME,
            address=f"198.51.{number % 200}.7",
            network=f"AS{number % 50}",
            device=f"d{number % 30}",
            agent="chrome/windows",
        )
        population.observe(values_of(other, NAMER))
    for day in range(days):
        take(history, population, replace(HOME, time=START + day * 86400, session=f"s{day}"))
    return history, population


def take(history: History, population: Population, seen: Observation) -> None:
    names = values_of(seen, NAMER)
    key = NAMER.name("seen", f"{seen.session}|{seen.device}")
    if learn(history, seen, names, NAMER.name("payee", seen.payee or ""), key):
        population.observe(names)


def judge(seen: Observation, history: History, population: Population) -> Assessment:
    names = values_of(seen, NAMER)
    return assess(
        seen, names, history, population, SETTINGS, payee=NAMER.name("payee", seen.payee or "")
    )


HISTORY, POPULATION = taught()
TODAY = replace(HOME, time=START + 41 * 86400, session="today")
THIEF = replace(
    TODAY, address="192.0.2.1", network="AS666", country="BR", place=(-23.5, -46.6),
    agent="chrome/windows", device="chrome/windows|z", amount=900000.0, payee="mule", session_age_s=40000,
)  # fmt: skip


def test_the_owner_at_home_is_below_and_a_thief_abroad_above_all_thresholds() -> None:
    assert judge(TODAY, HISTORY, POPULATION).verdict is Verdict.ALLOW
    assert judge(THIEF, HISTORY, POPULATION).score > 10
    assert judge(replace(THIEF, suspicion=2.0), HISTORY, POPULATION).verdict is Verdict.DENY


@pytest.mark.parametrize(
    ("changes", "factor"),
    [
        ({"address": "192.0.2.1", "network": "AS666", "country": "BR"}, "address"),
        ({"device": "x", "agent": "curl/other"}, "device"),
        ({"amount": 900000.0}, "amount"),
        ({"payee": "mule"}, "payee"),
        ({"suspicion": 2.0}, "workload-findings"),
        ({"session_age_s": 80000}, "session-age"),
        ({"time": TODAY.time + 12 * 3600}, "hour"),
    ],
)
def test_each_change_of_context_is_a_factor_of_its_own(
    changes: dict[str, object], factor: str
) -> None:
    def weight(found: Assessment) -> float:
        return next((one.weight for one in found.factors if one.name == factor), 0.0)

    usual, changed = (
        judge(one, HISTORY, POPULATION)
        for one in (TODAY, replace(TODAY, **changes))  # type: ignore[arg-type]
    )
    assert weight(changed) > weight(usual)
    assert changed.score > usual.score
    assert math.isclose(changed.score, sum(one.weight for one in changed.factors))


def test_nobody_flies_from_berlin_to_sao_paulo_in_an_hour() -> None:
    soon = replace(THIEF, time=START + 39 * 86400 + 3600)
    factors = {one.name: one.weight for one in judge(soon, HISTORY, POPULATION).factors}
    assert factors["travel"] > 3
    assert "travel" not in {
        one.name for one in judge(THIEF, HISTORY, POPULATION).factors
    }  # two days later


def test_a_burst_is_velocity() -> None:
    history, population = taught()
    for second in range(60):
        take(history, population, replace(TODAY, time=TODAY.time + second))
    found = judge(replace(TODAY, time=TODAY.time + 60), history, population)
    assert {one.name: one.weight for one in found.factors}["velocity"] > 1


def test_somebody_without_a_past_is_neither_trusted_nor_suspected() -> None:
    found = judge(replace(TODAY, session_age_s=0), History(), POPULATION)
    assert abs(found.score) < 1e-9


def test_scoring_changes_nothing_and_is_the_same_for_the_same_state() -> None:
    before = render_history(HISTORY)
    assert judge(THIEF, HISTORY, POPULATION) == judge(THIEF, HISTORY, POPULATION)
    assert render_history(HISTORY) == before
    assert judge(THIEF, parse_history(before), POPULATION).score == pytest.approx(
        judge(THIEF, HISTORY, POPULATION).score, abs=0.01
    )


def test_whoever_sits_in_a_stolen_session_teaches_slowly() -> None:
    history, population = taught()
    before = judge(THIEF, history, population).score
    for minute in range(20):
        take(
            history,
            population,
            replace(THIEF, time=THIEF.time + 60 * minute, amount=None, payee=None),
        )
    after = judge(replace(THIEF, time=THIEF.time + 1300, session="another"), history, population)
    address = next(one.weight for one in after.factors if one.name == "device")
    assert before > 10
    assert address > -1.0  # one visit in half an hour counts once
    assert history.total < 45


def test_what_is_kept_is_bounded_and_not_readable() -> None:
    history, population = taught(3)
    for number in range(500):
        take(
            history,
            population,
            replace(
                HOME,
                address=f"10.0.{number}.1",
                device=f"d{number}",
                payee=f"p{number}",
                session=f"x{number}",
            ),
        )
    raw = render_history(history)
    assert len(raw) < 6000
    assert all(len(counts) <= SLOTS for counts in history.counts.values())
    assert not any(
        secret in raw.decode() for secret in ("203.0.113", "10.0.", "safari", "landlord", "p499")
    )
    with pytest.raises(ValueError, match="not a history"):
        parse_history(b'{"a": 1}')


def test_an_observation_takes_from_a_context_what_has_the_right_form() -> None:
    context: dict[str, object] = {
        "req_ip": "2001:db8::1", "user_agent": "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0) Safari/604.1",
        "ja4": "t13d1516h2_8daaf6152771_b186095e22b6", "client_hints": '"Chromium";v="126"',
    }  # fmt: skip
    now = datetime.fromtimestamp(START, UTC)

    def seen(context: dict[str, object], details: dict[str, object]) -> Observation:
        return observe_request(
            context,
            details,
            SETTINGS,
            session=None,
            proven_at=START - 5,
            now=now,
            located=Located(),
        )

    found = seen(context, {"amount_minor": 100, "payee": "x"})
    assert (found.address, found.network, found.agent) == (
        "2001:db8::1",
        "2001:db8::/32",
        "safari/ios",
    )
    assert found.device is not None
    assert "t13d" in found.device
    assert (found.amount, found.payee, found.session_age_s) == (100.0, "x", 5)
    odd = seen(
        {"req_ip": 5, "user_agent": ["x"], "ja4": {}, "client_hints": "\0"},
        {"amount_minor": True, "payee": 7},
    )
    assert (odd.address, odd.agent, odd.device, odd.amount, odd.payee) == (
        None,
        None,
        None,
        None,
        None,
    )
    assert agent_family("curl/8.0") == "curl/other"
