"""Silence: an edge that is usually called at this hour, and is not."""

import numpy as np
import pytest
from tests.behaviour_world import DAY, EDGES, HOUR, SECOND, SMALL, START, call, name, table, traffic

from meshwarden.behaviour import Model, Settings
from meshwarden.behaviour.season import slot_of
from meshwarden.kernel import Call, Finding

CODE = "behaviour.silence"
NIGHT = START // DAY * DAY + DAY
SILENT = ("s1", "s4")


def _days(days: int, *, begin: int, without: tuple[tuple[str, str], ...] = ()) -> list[Call]:
    edges = [edge for edge in EDGES if edge not in without]
    return traffic(24 * days, seed=begin % 97, edges=edges, begin=begin, rate=20.0)


def _silences(model: Model, calls: list[Call]) -> list[Finding]:
    return [one for one in model.observe(table(calls)).findings if one.code == CODE]


def test_a_busy_edge_that_falls_silent_is_told_by_its_source_and_named() -> None:
    model = Model(SMALL)
    model.observe(table(_days(10, begin=NIGHT)))
    found = _silences(model, _days(1, begin=NIGHT + 10 * DAY, without=(SILENT,)))
    assert [one.subject for one in found] == [name("s1")]
    assert f"has fallen silent towards {name('s4')}" in found[0].sentence
    assert found[0].evidence[0].count(name("s3")) == 1  # the call at which it was noticed


def test_an_edge_that_goes_on_is_never_silent() -> None:
    model = Model(SMALL)
    model.observe(table(_days(10, begin=NIGHT)))
    assert _silences(model, _days(3, begin=NIGHT + 10 * DAY)) == []


def test_where_nearly_all_are_silent_it_is_a_holiday() -> None:
    model = Model(SMALL)
    model.observe(table(_days(10, begin=NIGHT)))
    quiet = tuple(edge for edge in EDGES if edge != ("s1", "s3"))
    assert _silences(model, _days(1, begin=NIGHT + 10 * DAY, without=quiet)) == []


def test_an_edge_of_office_hours_is_not_silent_at_night() -> None:
    model = Model(SMALL)
    office = [
        call(NIGHT + day * DAY + hour * HOUR + k * 600 * SECOND, *SILENT)
        for day in range(10)
        for hour in range(8, 18)
        for k in range(6)
    ]
    usual = _days(10, begin=NIGHT, without=(SILENT,))
    assert _silences(model, sorted([*office, *usual], key=lambda each: each.time)) == []


def test_a_model_that_was_stopped_calls_nobody_silent() -> None:
    model = Model(SMALL)
    model.observe(table(_days(10, begin=NIGHT)))
    assert _silences(model, _days(1, begin=NIGHT + 10 * DAY + 7 * HOUR)) == []


def test_what_it_knows_survives_the_baseline() -> None:
    model = Model(Settings(node_bits=16, edge_bits=17, link_bits=10))
    calls = _days(10, begin=NIGHT)
    model.observe(table(calls))
    later = table(_days(1, begin=NIGHT + 10 * DAY, without=(SILENT,)))
    kept = Model.load(model.save())
    assert np.array_equal(kept.observe(later).score, model.observe(later).score)


@pytest.mark.parametrize(
    ("hours", "slot"),
    [(0, 0), (23, 23), (2 * 24 + 5, 24 + 5), (3 * 24 + 23, 47), (4 * 24 + 1, 1)],
    ids=["Thursday", "Thursday night", "Saturday", "Sunday night", "Monday"],
)
def test_slots_are_hours_of_weekdays_and_of_weekends(hours: int, slot: int) -> None:
    assert slot_of(hours) == slot


def test_one_silence_is_told_once_an_hour_to_whomever_its_source_goes_on_calling() -> None:
    model = Model(SMALL)
    edges = [*EDGES, *(("s1", f"s{k}") for k in (2, 5, 6, 7, 8))]
    model.observe(table(traffic(240, seed=1, edges=edges, begin=NIGHT, rate=20.0)))
    edges.remove(SILENT)
    later = traffic(6, seed=2, edges=edges, begin=NIGHT + 10 * DAY, rate=20.0)
    hours = [one.time // HOUR for one in _silences(model, later)]
    assert hours
    assert len(hours) == len(set(hours))
