"""Properties of the stream: cuts do not matter, memory is bounded, more is never less surprising."""

from functools import cache
from itertools import pairwise

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.behaviour_world import SECOND, SMALL, START, call, table, traffic

from meshwarden.behaviour import Model, Scored, Settings
from meshwarden.behaviour.archive import pack, unpack
from meshwarden.behaviour.surprise import student_tail
from meshwarden.kernel import InputError


@cache
def _world() -> tuple[pa.Table, Scored]:
    calls = traffic(6, seed=2, rate=100.0)
    calls += [
        call(START + 5 * 3600 * SECOND + i, "s6", f"x{i % 40}", status=503) for i in range(200)
    ]
    whole = table(sorted(calls, key=lambda c: c.time))
    return whole, Model(SMALL).observe(whole)


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(1, 4999), max_size=6))
def test_results_do_not_depend_on_how_the_stream_is_cut(cuts: list[int]) -> None:
    whole, scored = _world()
    model, edges = Model(SMALL), sorted({0, whole.num_rows, *(c % whole.num_rows for c in cuts)})
    parts = [model.observe(whole[a:b]) for a, b in pairwise(edges)]
    assert np.array_equal(np.concatenate([p.score for p in parts]), scored.score)
    assert np.array_equal(np.concatenate([p.alert for p in parts]), scored.alert)
    assert np.array_equal(np.concatenate([p.loudest for p in parts]), scored.loudest)


def test_a_flood_of_names_does_not_grow_the_model_nor_push_out_what_is_established() -> None:
    tiny = Settings(node_bits=8, edge_bits=8, link_bits=8)
    model = Model(tiny)
    model.observe(table(traffic(30, rate=20.0)))
    size = sum(a.nbytes for a in model._arrays().values())
    flood = [
        call(START + 31 * 3600 * SECOND + i, f"f{i}", "s1", route=f"/{i}") for i in range(20_000)
    ]
    model.observe(table(flood))
    assert sum(a.nbytes for a in model._arrays().values()) == size
    assert len(model.ground.nodes) <= 256
    known = {(e["source"], e["destination"]) for e in model.describe()["edges"]}
    assert ("spiffe://bank.example/s0", "spiffe://bank.example/s1") in known


@given(st.floats(0, 100), st.floats(0, 10))
def test_more_is_never_less_surprising(t: float, more: float) -> None:
    assert student_tail(t + more) >= student_tail(t) - 1e-9


@settings(max_examples=50, deadline=None)
@given(st.binary(max_size=200))
def test_bytes_that_are_no_baseline_are_refused_with_one_error(raw: bytes) -> None:
    try:
        unpack(raw)
    except InputError as error:
        assert error.code == "behaviour.baseline"
    assert unpack(pack({"a": 1}, {"x": np.arange(3)}))[0] == {"a": 1}
