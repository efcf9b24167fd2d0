import pyarrow as pa
import pytest
from tests.unit.policy.traffic_cases import DAY_NS, START_NS, call

from meshwarden.kernel import InputError
from meshwarden.kernel.call import calls_to_table
from meshwarden.policy.traffic import Traffic, observed


def test_calls_are_summed_over_batches_with_different_dictionaries() -> None:
    traffic = Traffic()
    traffic.add(calls_to_table([call("/a"), call("/b", at=2)]))
    traffic.add(calls_to_table([call("/b", source="payments"), call("/a", at=5)]))
    traffic.add(pa.concat_tables([calls_to_table([call("/b")]), calls_to_table([call("/c")])]))
    counts = {(seen.source[22:], seen.route): seen.count for seen in traffic.observed()}
    assert counts == {
        ("gateway", "/a"): 2,
        ("gateway", "/b"): 2,
        ("gateway", "/c"): 1,
        ("payments", "/b"): 1,
    }
    first = traffic.observed()[0]
    assert (first.first, first.last) == (START_NS, START_NS + 5 * DAY_NS)
    assert len(first.days) == 2
    assert (traffic.calls, traffic.first, traffic.last) == (6, START_NS, START_NS + 5 * DAY_NS)


def test_the_period_and_named_transactions_are_chosen() -> None:
    rows = [call(at=0), call(at=1, transaction="t"), call(at=1), call(at=2)]
    traffic = Traffic(since=START_NS + 1, until=START_NS + 2 * DAY_NS, without=frozenset({"t"}))
    traffic.add(calls_to_table(rows))
    assert (traffic.calls, traffic.left_out) == (1, 1)


def test_no_calls_are_no_combinations() -> None:
    traffic = Traffic()
    traffic.add(calls_to_table([]))
    assert traffic.observed() == []


def test_more_combinations_than_fit_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(observed, "MAX_COMBINATIONS", 5)
    traffic = Traffic()
    traffic.add(calls_to_table([call(f"/{number}") for number in range(6)]))
    with pytest.raises(InputError, match="more than 5 combinations"):
        traffic.observed()
