"""An alarm that goes on: told again where it became rarer by far, and no alarm of its own."""

import pyarrow as pa
from tests.behaviour_world import DAY, HOUR, START, call, learned, table

from meshwarden.behaviour import Model, Verdict
from meshwarden.kernel import Finding

LATER = START + 48 * HOUR
GROWS = "; the incident grows; "


def _flood(calls: int) -> pa.Table:
    """Calls on an edge that knows thirty an hour, all within ten minutes."""
    step = HOUR // 6 // calls
    return table([call(LATER + i * step, "s0", "s1") for i in range(calls)])


def _grown(model: Model, calls: int = 4000) -> list[Finding]:
    return [one for one in model.observe(_flood(calls)).findings if GROWS in one.sentence]


def test_what_alarmed_is_told_again_once_it_is_rarer_by_far() -> None:
    model = learned()
    scored = model.observe(_flood(4000))
    first, *more = scored.findings
    assert GROWS not in first.sentence
    assert len(more) > int(scored.alert.sum()) - 1
    p = [one.p_value or 0.0 for one in scored.findings]
    assert min(p) <= p[0] / 3


def test_growth_is_about_the_suspect_and_names_a_call_of_it() -> None:
    grown = _grown(learned())
    assert grown
    assert {one.subject for one in grown} == {"spiffe://bank.example/s0"}
    assert all("spiffe://bank.example/s0 ->" in one.evidence[0] for one in grown)


def test_growth_is_told_a_few_times_however_long_it_goes_on() -> None:
    assert len(_grown(learned(), calls=40_000)) <= 22


def test_growth_does_not_depend_on_batches() -> None:
    whole, parts = learned(), learned()
    calls = _flood(4000)
    found = [
        one
        for start in range(0, 4000, 333)
        for one in parts.observe(calls.slice(start, 333)).findings
    ]
    assert found == list(whole.observe(calls).findings)


def test_what_nobody_was_told_of_does_not_grow() -> None:
    scored = learned().observe(_flood(4000).slice(0, 3))
    assert not scored.findings


def test_a_benign_verdict_holds_growth_back_as_well() -> None:
    model = learned()
    source = "spiffe://bank.example/s0"
    model.judge(Verdict(source=source, by="ada", reason="a load test", until=LATER + DAY))
    assert not model.observe(_flood(4000)).findings
