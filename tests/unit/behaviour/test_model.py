"""The model: findings, baselines, verdicts, declared policy."""

from dataclasses import replace

import numpy as np
import pytest
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

from meshwarden.behaviour import Model, Settings, Verdict
from meshwarden.behaviour.encode import encode
from meshwarden.kernel import InputError

LATER = START + 48 * HOUR


def _lateral(model: Model) -> list[str]:
    calls = [call(LATER + i * SECOND, "s5", f"s{i % 3}", route="/v1/export") for i in range(12)]
    return [f.code for f in model.observe(table(calls)).findings]


def test_calls_where_nobody_ever_called_raise_an_alarm_with_a_reason() -> None:
    model = learned()
    scored = model.observe(table([call(LATER + i * SECOND, "s5", "s0") for i in range(5)]))
    assert scored.alert.sum() >= 1
    finding = scored.findings[0]
    assert finding.subject == name("s5")
    assert "48.0 hours of history" in finding.sentence
    assert finding.technique is not None
    assert finding.technique.endswith("@18.1")
    assert finding.p_value is not None
    assert 0 < finding.p_value < 0.01
    assert sum(c.weight for c in finding.contributions) == pytest.approx(1.0)


def test_ordinary_traffic_raises_none() -> None:
    model = learned()
    scored = model.observe(table(traffic(24, seed=5, begin=LATER)))
    assert not scored.alert.any()


def test_nothing_is_reported_during_warm_up() -> None:
    scored = Model(SMALL).observe(
        table([call(START + i * SECOND, "s0", f"t{i}") for i in range(300)])
    )
    assert not scored.alert.any()


def test_an_alarm_in_the_first_hour_has_a_history_of_minutes() -> None:
    usual = [call(START + i * SECOND, f"s{i % 5}", f"s{i % 3 + 5}") for i in range(1800)]
    scan = [call(START + (1800 + i) * SECOND, "s9", f"t{i}", status=403) for i in range(60)]
    scored = Model(SMALL).observe(table(usual + scan))
    assert "0.5 hours of history" in scored.findings[0].sentence


def test_a_benign_verdict_holds_an_alarm_back_until_it_expires() -> None:
    model = learned()
    model.judge(Verdict(source=name("s5"), until=LATER + DAY, reason="migration", by="ana"))
    assert _lateral(model) == []
    assert model.suppressed >= 1
    assert model.describe()["verdicts"][0]["reason"] == "migration"
    assert not model.verdicts[0].covers(LATER + DAY, name("s5"), name("s0"), "new edge")


class _Policy:
    def __init__(self, *, allowed: bool) -> None:
        self._allowed = allowed

    def allows(self, source: str, destination: str, method: str | None, route: str | None) -> bool:
        del source, destination, method, route
        return self._allowed


def test_declared_edges_surprise_less_and_denied_ones_more() -> None:
    scores = {}
    for policy in (_Policy(allowed=True), None, _Policy(allowed=False)):
        model = learned()
        model.declared = policy
        scores[policy and policy._allowed] = model.observe(table([call(LATER, "s5", "s1")])).score[
            0
        ]
    assert scores[True] < scores[None] < scores[False]


def test_claimed_identities_are_never_learned() -> None:
    model = learned()
    model.observe(table([call(LATER, "unknown", "s1", claimed="spiffe://bank.example/ledger")]))
    assert "spiffe://bank.example/ledger" not in model.names.save().values()


def test_a_baseline_goes_on_as_if_nothing_happened() -> None:
    model = learned()
    twin = Model.load(model.save())
    more = table(traffic(5, seed=9, begin=LATER))
    assert np.array_equal(model.observe(more).score, twin.observe(more).score)


def test_a_loaded_baseline_takes_another_budget_and_keeps_all_else() -> None:
    longer = replace(SMALL, warm_up_minutes=90.0)
    twin = Model.load(Model(longer).save(), false_alarms_per_day=7.0)
    assert twin.settings == replace(longer, false_alarms_per_day=7.0)


def test_another_schema_is_refused() -> None:
    with pytest.raises(InputError, match="column"):
        Model(SMALL).observe(table([]).drop(["denied"]))


def test_merged_models_know_both_worlds() -> None:
    one, two = learned(30), Model(SMALL)
    far = traffic(30, edges=(("s1", "a"), ("a", "b")), release="r1")
    two.observe(table(far))
    one.merge(two)
    edges = {(e["source"], e["destination"]) for e in one.describe()["edges"]}
    assert edges == {(name(a), name(b)) for a, b in (*EDGES, ("s1", "a"), ("a", "b"))}
    again = traffic(6, seed=9, begin=LATER, edges=(("a", "b"),), release="r1")
    assert not one.ground.place(encode(table(again)), np.full(len(again), LATER)).fresh.any()
    assert not one.observe(table(again)).alert.any()
    strange = [call(LATER + 6 * HOUR + i * SECOND, "b", f"s{i % 3}") for i in range(9)]
    assert one.observe(table(strange)).alert.any()


def test_models_of_other_sizes_are_not_merged() -> None:
    with pytest.raises(InputError, match="sizes"):
        learned(2).merge(Model(Settings(node_bits=8, edge_bits=12, link_bits=12)))


@pytest.mark.parametrize("ahead", [2 * HOUR, 6 * DAY, 8 * DAY, 3650 * DAY])
def test_one_wrong_time_does_not_stop_the_clock(ahead: int) -> None:
    model = learned()
    model.observe(table([call(LATER + ahead, "s0", "s1")]))
    model.observe(table(traffic(12, seed=4, begin=LATER)))
    assert LATER + 11 * HOUR < model.times[1] < LATER + 12 * HOUR
    turned = int(model.alarms.state["counts"][3])
    model.observe(table(traffic(2, seed=4, begin=LATER + 12 * HOUR)))
    assert int(model.alarms.state["counts"][3]) > turned


@pytest.mark.parametrize("wrong", [START + 36500 * DAY, 2**63 - 1])
def test_a_first_call_of_the_next_century_does_not_stop_the_clock(wrong: int) -> None:
    model = Model(SMALL)
    model.observe(table([call(wrong, "s0", "s1")]))
    model.observe(table(traffic(48, seed=4)))
    assert START + 46 * HOUR < model.times[1] < START + 48 * HOUR
    calls = [call(LATER + i * SECOND, "s5", f"s{i % 3}", route="/x", status=403) for i in range(9)]
    assert model.observe(table(calls)).alert.any()


def test_a_world_that_moved_on_is_believed_after_a_hundred_calls() -> None:
    model = learned(2)
    model.observe(table([call(LATER + 90 * DAY + i, "s0", "s1") for i in range(120)]))
    assert model.times[1] >= LATER + 90 * DAY


def test_late_and_repeated_calls_count_at_the_latest_time() -> None:
    model = learned(2)
    last = model.times[1]
    scored = model.observe(table([call(START + i % 2, "s0", "s1") for i in range(50)]))
    assert np.isfinite(scored.score).all()
    assert model.times[1] == last


def test_sizes_times_and_names_of_any_kind_are_survived() -> None:
    model = Model(SMALL)
    calls = [
        call(
            START + i * SECOND,
            "unknown" if i % 3 else "s0",
            "x" * 5000,
            route="/" + "y" * i,
            request_bytes=2**62,
            response_bytes=2**63 - 1,
            session="\x00\x1b[31m" + "z" * i,
            status=599,
        )
        for i in range(600)
    ]
    calls += [call(2**62, "s0", "s1")] * 150
    scored = model.observe(table(calls))
    assert np.isfinite(scored.score).all()
    assert all(f.sentence.isprintable() for f in scored.findings)
    assert Model.load(model.save()).calls == 750


def test_what_no_channel_speaks_of_raises_no_alarm_however_few_calls_there_are() -> None:
    model = Model(SMALL)
    scored = model.observe(table([call(START + i * DAY, "s0", "s1") for i in range(40)]))
    assert not scored.alert[scored.loudest < 0].any()
    assert not any(one.p_value == 1.0 for one in scored.findings)


def test_tokens_come_from_the_end_of_warm_up_on_also_while_nothing_is_rare() -> None:
    model = learned(3)
    tokens, since, _ = model.alarms.state["tokens"].tolist()
    now = tokens + 2.0 * (model.times[1] - since) / DAY
    assert now == pytest.approx(1.0 + 2.0 * 2.75 / 24.0, abs=0.01)
