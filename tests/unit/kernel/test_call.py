"""The Arrow schema of calls is the contract between all parts."""

from dataclasses import fields

import pytest

from meshwarden.kernel import CALL_SCHEMA, Call, calls_to_table


def test_the_schema_and_the_class_have_the_same_columns_in_the_same_order() -> None:
    assert CALL_SCHEMA.names == [field.name for field in fields(Call)]


def test_a_call_survives_the_way_into_a_table() -> None:
    call = Call(
        time=1_700_000_000_000_000_123,
        source="spiffe://bank.example/a",
        destination="external:api.example",
        protocol="http",
        method="GET",
        status=200,
        duration=1_500,
        mtls=True,
        reporter="source",
    )
    table = calls_to_table([call])
    assert table.schema == CALL_SCHEMA
    assert table["time"][0].value == call.time
    assert table["duration"][0].value == call.duration
    assert table["destination"][0].as_py() == call.destination
    assert table["rule"][0].as_py() is None


def test_no_calls_make_an_empty_table_of_the_schema() -> None:
    assert calls_to_table([]).schema == CALL_SCHEMA


def test_an_unknown_protocol_cannot_be_built() -> None:
    with pytest.raises(ValueError, match="protocol"):
        Call(time=0, source="a", destination="b", protocol="smtp", reporter="source")
