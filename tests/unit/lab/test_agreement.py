"""The comparison accepts two courses of the same events, and notices what differs."""

from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pytest

from meshwarden.lab.agreement import compare, hop_keys, normalize_route
from meshwarden.lab.customers import CustomerModel
from meshwarden.lab.synthesize import synthesize

START = datetime(2026, 3, 2, 9, tzinfo=UTC)
MODEL = CustomerModel(seed=3, customers=200)


def calls(stream: int) -> pa.Table:
    timeline = MODEL.timeline(start=START, span_s=6 * 3600, stream=stream)
    return synthesize(timeline, start=START, seed=stream)


@pytest.fixture(scope="module")
def one() -> pa.Table:
    return calls(0)


@pytest.fixture(scope="module")
def other() -> pa.Table:
    return calls(1)


def test_two_courses_of_the_same_model_agree(one: pa.Table, other: pa.Table) -> None:
    agreement = compare(one, other)
    assert agreement.passed
    assert agreement.render() == ""


def test_call_that_only_one_side_makes_is_named(one: pa.Table, other: pa.Table) -> None:
    keys = hop_keys(other)
    agreement = compare(one, other.filter(keys != "payments ledger POST /v1/transfers 201"))
    assert not agreement.passed
    assert "only on one side: payments ledger POST /v1/transfers 201" in agreement.render()


def test_other_mix_is_noticed(one: pa.Table, other: pa.Table) -> None:
    keys = hop_keys(other)
    often = np.array(["balance" in key for key in keys])
    repeated = pa.concat_tables([other, *[other.filter(often)] * 2])
    assert "mix" in compare(one, repeated).render()


@pytest.mark.parametrize("column", ["request_bytes", "response_bytes"])
def test_other_sizes_are_noticed(one: pa.Table, other: pa.Table, column: str) -> None:
    bigger = pa.array((other[column].to_numpy() * 1.2 + 1).astype(np.int64))
    place = other.schema.get_field_index(column)
    changed = other.set_column(place, other.schema.field(place), bigger)
    assert f"{column} of" in compare(one, changed).render()


def test_other_rhythm_is_noticed(one: pa.Table, other: pa.Table) -> None:
    even = np.linspace(0, 6 * 3600e9, other.num_rows).astype(np.int64)
    times = pa.array(even).cast(other.schema.field("time").type)
    agreement = compare(one, other.set_column(0, other.schema.field("time"), times))
    assert "gaps between arrivals" in agreement.render()


def test_nothing_to_compare_is_an_error(one: pa.Table) -> None:
    with pytest.raises(ValueError, match="nothing to compare"):
        compare(one, one.slice(0, 0))


@pytest.mark.parametrize(
    ("route", "normal"),
    [
        ("/v1/accounts/{id}/balance", "/v1/accounts/{}/balance"),
        ("/v1/accounts/acc-00000000-0000-4000-8000-000000000001", "/v1/accounts/{}"),
        ("/idp/authorize?state=1", "/idp/authorize"),
        ("/v1/transfers", "/v1/transfers"),
    ],
)
def test_identifiers_are_taken_out_of_routes(route: str, normal: str) -> None:
    assert normalize_route(route) == normal
