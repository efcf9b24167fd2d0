"""Situations: attacks that must be found, changes that must not alarm, and teaching in bad faith."""

from dataclasses import replace

from tests.behaviour_world import (
    DAY,
    EDGES,
    HOUR,
    SECOND,
    SMALL,
    START,
    call,
    learned,
    name,
    table,
    traffic,
)

from meshwarden.behaviour import Model
from meshwarden.kernel import Call, Finding

LATER = START + 48 * HOUR


def _findings(model: Model, calls: list[Call]) -> tuple[Finding, ...]:
    return model.observe(table(sorted(calls, key=lambda each: each.time))).findings


def _alarms(model: Model, calls: list[Call]) -> list[str]:
    return [f.subject for f in _findings(model, calls)]


def _about_news(findings: tuple[Finding, ...]) -> list[str]:
    return [f.code for f in findings if "new" in f.code]


def test_a_scan_is_found() -> None:
    calls = [
        call(LATER + i * SECOND, "s5", f"s{i % 7}", route=f"/{i}", status=403) for i in range(40)
    ]
    assert name("s5") in _alarms(learned(), calls)


def test_a_caller_that_goes_on_as_ever_is_not_named_because_others_came() -> None:
    """Strangers meet at a service of few callers; one of the few calls there meanwhile."""
    edges = (*EDGES, *((f"s{k}", "s9") for k in range(10, 18)))
    model = learned(edges=edges)
    strangers = [
        call(LATER + i * SECOND, f"s{10 + i % 8}", "s3", status=403, route="/v1/entries")
        for i in range(16)
    ]
    usual = traffic(1, seed=9, edges=[("s1", "s3")], begin=LATER + SECOND)
    named = _alarms(model, strangers + usual)
    assert named
    assert name("s1") not in named


def test_bulk_exfiltration_to_a_new_destination_is_found() -> None:
    calls = [
        call(LATER + i * SECOND, "s3", "external:drop.example", request_bytes=50_000_000)
        for i in range(5)
    ]
    assert name("s3") in _alarms(learned(), calls)


def test_a_burst_on_a_known_edge_is_found() -> None:
    calls = [call(LATER + i * SECOND // 50, "s1", "s3") for i in range(5000)]
    assert name("s1") in _alarms(learned(), calls)


def test_a_stolen_session_is_found() -> None:
    model = learned(48, session="alpha")
    calls = [call(LATER + i * SECOND, "s6", "s4", session="alpha") for i in range(5)]
    assert name("s6") in _alarms(model, calls)


def test_a_session_on_two_devices_is_found_where_sessions_stay_on_one() -> None:
    model = learned(96, session="alpha", source_instance="device")
    calls = [
        call(START + 96 * HOUR + i * SECOND, "s0", "s1", session="alpha",
             source_instance="device" if i % 2 else "device of a thief")
        for i in range(6)
    ]  # fmt: skip
    assert "behaviour.session_on_another_instance" in [f.code for f in _findings(model, calls)]


def test_a_session_behind_a_balancer_moves_between_pods_and_is_no_news() -> None:
    calls = [
        replace(each, session="alpha", source_instance=f"pod{k % 3}")
        for k, each in enumerate(traffic(96))
    ]
    model = Model(SMALL)
    model.observe(table(calls))
    later = [
        replace(each, session="alpha", source_instance=f"pod{k % 3}")
        for k, each in enumerate(traffic(24, seed=5, begin=START + 96 * HOUR))
    ]
    assert "behaviour.session_on_another_instance" not in [f.code for f in _findings(model, later)]


def test_new_pods_and_scaled_services_are_no_news_and_stay_about_the_budget() -> None:
    alarms, worlds = 0, range(7, 17)
    for seed in worlds:
        model = Model(SMALL)
        alarms += int(model.observe(table(traffic(48, seed=100 + seed))).alert.sum())
        grown = traffic(
            12,
            seed=seed,
            begin=LATER,
            rate=45.0,
            source_instance="pod-new",
            destination_instance="pod-more",
        )
        scored = model.observe(table(grown))
        assert _about_news(scored.findings) == []
        assert scored.alert.sum() <= 2
        alarms += int(scored.alert.sum())
    assert alarms <= 1.25 * SMALL.false_alarms_per_day * 2.5 * len(worlds)


class _Everything:
    def allows(self, source: str, destination: str, method: str | None, route: str | None) -> bool:
        del source, destination, method, route
        return True


def test_ten_rolling_releases_with_declared_new_edges_are_no_news() -> None:
    model = Model(SMALL, declared=_Everything())
    model.observe(table(traffic(48, release="r0")))
    edges = list(EDGES)
    findings: tuple[Finding, ...] = ()
    for number in range(1, 11):
        edges.append((f"s{number % 6}", f"new{number}"))
        begin = LATER + (number - 1) * 6 * HOUR
        calls = traffic(6, seed=number, edges=edges, begin=begin, release=f"r{number}")
        findings += _findings(model, calls)
    assert _about_news(findings) == []
    assert len(findings) <= 3  # sixty hours at one false alarm a day


def test_a_release_with_declared_new_edges_makes_no_fan_and_no_beacon() -> None:
    """Six new callees, called by the clock, in the first day of a release."""
    model = Model(SMALL, declared=_Everything())
    model.observe(table(traffic(96, release="r0")))
    begin = START + 96 * HOUR
    new = [
        call(begin + i * 300 * SECOND, "s2", f"new{k}", release="r1")
        for i in range(200)
        for k in range(6)
    ]
    assert _alarms(model, new) == []
    undeclared = learned(96, release="r0")
    assert _alarms(undeclared, new)


def test_an_attack_that_was_alarmed_is_not_blessed_by_its_first_minutes() -> None:
    model = learned()
    burst = [call(LATER + i * SECOND // 50, "s1", "s3") for i in range(5000)]
    quiet = traffic(24, seed=8, begin=LATER + HOUR)
    again = [call(LATER + 2 * DAY + i * SECOND // 50, "s1", "s3") for i in range(5000)]
    model.observe(table(burst + quiet))
    assert model.observe(table(again)).score.max() > 0.0


def test_a_ramp_towards_an_attack_leaves_it_stranger_than_what_is_ordinary() -> None:
    model, ordinary = learned(), 0.0
    for hour in range(24):
        begin = LATER + hour * HOUR
        ramp = [call(begin + i * SECOND, "s1", "s3") for i in range(30 + hour * 40)]
        calls = sorted(traffic(1, seed=hour, begin=begin) + ramp, key=lambda each: each.time)
        ordinary = model.observe(table(calls)).score.mean()
    attack = [call(LATER + 25 * HOUR + i * SECOND // 50, "s1", "s3") for i in range(20_000)]
    assert model.observe(table(attack)).score.max() > ordinary + 0.5


def test_an_attack_three_hours_after_a_false_alarm_about_its_suspect_is_found() -> None:
    """Packages from a mirror nobody called before: odd, innocent, and extreme."""
    model = learned(96)
    begin = START + 96 * HOUR
    update = [
        call(begin + i * SECOND, "s3", "external:packages.example", response_bytes=200_000)
        for i in range(60)
    ]
    assert name("s3") in _alarms(model, update)
    model.observe(table(traffic(3, seed=6, begin=begin + HOUR)))
    theft = [
        call(begin + 4 * HOUR + i * SECOND, "s3", "external:drop.example", request_bytes=50_000_000)
        for i in range(5)
    ]
    assert name("s3") in _alarms(model, theft)


def test_one_extreme_alarm_takes_little_from_the_score_of_another_attack() -> None:
    begin = START + 96 * HOUR
    odd = [call(begin + i * SECOND, "s3", "external:packages.example") for i in range(60)]
    theft = [
        call(begin + 4 * HOUR + i * SECOND, "s5", "external:drop.example", request_bytes=50_000_000)
        for i in range(5)
    ]
    scores = []
    for before in ([], odd):
        model = learned(96)
        model.observe(table([*before, *traffic(3, seed=6, begin=begin + HOUR)]))
        scores.append(model.observe(table(theft)).score.max())
    assert scores[1] > scores[0] - 1.0


def test_calls_that_keep_the_hours_of_the_day_are_judged_by_them() -> None:
    """Busy by day, quiet by night: what is usual at noon is a burst at midnight."""
    calls = [
        each
        for day in range(10)
        for hours, rate in (((0, 12), 4.0), ((12, 12), 200.0))
        for each in traffic(
            hours[1], seed=day, rate=rate, begin=START + day * DAY + hours[0] * HOUR
        )
    ]
    model = Model(SMALL)
    model.observe(table(calls))
    begin = START + 10 * DAY
    night = [call(begin + 3 * HOUR + i * 18 * SECOND, "s1", "s3") for i in range(200)]
    assert name("s1") in _alarms(model, night)


def test_the_first_release_of_a_service_that_only_was_called_brings_declared_edges() -> None:
    model = Model(SMALL, declared=_Everything())
    model.observe(table(traffic(48)))
    new = [call(LATER + i * 60 * SECOND, "s6", "s0", release="r1", route="/v2") for i in range(60)]
    assert _alarms(model, new) == []
