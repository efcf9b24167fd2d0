"""Lines read together, as columns, mean what they mean one by one; what is refused there is here."""

import json
import string
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.recording.access_log_lines import GATEWAY, LEDGER

from meshwarden.adapters.envoy.accesslog_batch import Line, Told, read_usual
from meshwarden.adapters.envoy.accesslog_call import Naming, Report, Side, report_of
from meshwarden.adapters.envoy.accesslog_entry import parse_entry
from meshwarden.adapters.yaml import parse_document
from meshwarden.control.plane.naming import naming_of
from meshwarden.kernel import InputError, calls_to_table
from meshwarden.policy import parse_policy

POLICY = b"""apiVersion: meshwarden.dev/v1
trust_domain: bank.example
services:
  gateway: {identity: spiffe://bank.example/ns/edge/sa/gateway}
  ledger:
    identity: spiffe://bank.example/ns/core/sa/ledger
    accepts:
      - {from: [gateway], methods: [GET], paths: ["/v1/{id}/x", "/v1/**", "/v1/7/x"]}
      - {from: [gateway], methods: [POST], paths: [/v1/x]}
"""
NAMING = naming_of(parse_policy(parse_document(POLICY, name="access.yaml")))
INBOUND = {
    "kind": "inbound", "start": "1700000000000000001", "ns": 1000, "ms": 2, "rx": 1, "tx": 2,
    "call": "a", "peer": GATEWAY, "hs": 5, "status": 200, "method": "GET", "path": "/v1/7/x",
    "rule": "ledger.accepts[0]", "remote": "127.0.0.1:5", "local": "[::1]:15443",
    "details": "via_upstream", "flags": "-", "cert": "ab" * 32, "txn": "t-1",
}  # fmt: skip
OUTBOUND = {
    "kind": "outbound", "start": "1700000000000000001", "ns": 1000, "ms": 2, "rx": 1, "tx": 2,
    "call": "a", "to": LEDGER, "status": 200, "method": "GET", "path": "/v1/x", "flags": "-",
    "authority": "ledger", "uremote": "127.0.0.1:15443", "details": "via_upstream",
}  # fmt: skip
TELLING = [
    "-", "", "ledger.accepts[0]", "ledger.accepts[1]:once", "none", "via_upstream", GATEWAY,
    f"{GATEWAY},{LEDGER}", "spiffe://UPPER/x", "external:card.example", "application/grpc+proto",
    "rbac_access_denied_matched_policy[containment:session]", "rbac_access_denied_matched_policy[none]",
    "jwt_authn_access_denied{Jwt_is_expired}", "/v1/x", "/v1//x", "/v1/%37/x", "/v1/x\n", "/", "1",
    "0x1f", "-5", "99999999999999999999", "a:b:c", "@internal", "\u00e9:1", "\ud800", "x" * 8193,
]  # fmt: skip
values: st.SearchStrategy[Any] = st.one_of(
    st.sampled_from(TELLING),
    st.text(string.printable, max_size=12),
    st.integers(-1, 2**63),
    st.none(),
    st.booleans(),
    st.floats(),
)
changes = st.dictionaries(
    st.sampled_from([*INBOUND, *OUTBOUND, "fail", "type", "grpc", "why", "port", "new"]),
    values,
    max_size=3,
)
lines = st.lists(st.tuples(st.sampled_from([INBOUND, OUTBOUND]), changes), max_size=5)


def _plainly(line: bytes, naming: Naming) -> Report | None:
    try:
        return report_of(parse_entry(line), owner=LEDGER, naming=naming)
    except InputError:
        return None


def _rows(calls: pa.Table) -> list[Any]:
    """Return the calls as objects, times and durations in nanoseconds."""
    for name in ("time", "duration"):
        at = calls.schema.get_field_index(name)
        calls = calls.set_column(at, name, calls[name].cast(pa.int64()))
    return list(calls.to_pylist())


def _call(told: Told, rows: Sequence[Any], naming: Naming) -> Any:
    if isinstance(told.what, Line):
        found = _plainly(told.what.text, naming)
        assert found is not None
        return _rows(calls_to_table([found.call]))[0]
    assert isinstance(told.what, int)
    return rows[told.what]


@settings(deadline=None, max_examples=300)
@given(lines, st.sampled_from([NAMING, Naming()]))
def test_lines_mean_the_same_together_as_one_by_one(
    found: list[tuple[dict[str, Any], dict[str, Any]]], naming: Naming
) -> None:
    texts = [json.dumps(base | changed, separators=(",", ":")).encode() for base, changed in found]
    batch = read_usual(texts, [LEDGER] * len(texts), naming)
    rows = _rows(batch.rows)
    reports = [_plainly(text, naming) for at, text in enumerate(texts) if at not in batch.others]
    assert None not in reports
    assert len(reports) == len(batch.told)
    expected = sorted(
        ((r.key or "", r.end, r.side.value, str(_rows(calls_to_table([r.call])))))
        for r in reports
        if r
    )
    assert expected == sorted(
        (t.key or "", t.end, t.side.value, str([_call(t, rows, naming)])) for t in batch.told
    )


@pytest.mark.parametrize("line", [INBOUND, OUTBOUND], ids=["inbound", "outbound"])
def test_a_usual_line_is_read_as_one(line: dict[str, Any]) -> None:
    batch = read_usual([json.dumps(line, separators=(",", ":")).encode()], [GATEWAY], NAMING)
    assert batch.others == []
    [told] = batch.told
    assert told.side is (Side.CALLEE if line is INBOUND else Side.CALLER)


HOSTILE = {
    "two objects on a line": b'{"kind":"inbound"}{"kind":"inbound"}',
    "no object": b'"kind":"inbound"',
    "no UTF-8": b'{"kind":"inbound","path":"\xff"}',
    "a field twice": b'{"kind":"inbound","path":"/a","path":"/b"}',
    "a kind of another type": b'{"kind":"inbound","kind":7}',
    "deep": b'{"kind":"inbound","x":' + b"[" * 4000 + b"]" * 4000 + b"}",
    "torn": json.dumps(INBOUND, separators=(",", ":")).encode()[:-20],
    "too long": json.dumps(INBOUND | {"new": "x" * 9000}, separators=(",", ":")).encode(),
    "a raw control character": b'{"kind":"inbound","path":"\x01"}',
    "not a number": b'{"kind":"inbound","rx":NaN}',
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_no_usual_line_is_left_to_be_read_alone(name: str) -> None:
    good = json.dumps(INBOUND, separators=(",", ":")).encode()
    batch = read_usual([good, HOSTILE[name]], [LEDGER, LEDGER], NAMING)
    assert 1 in batch.others
    assert [at for at in batch.others if at != 1] in ([], [0])


def test_of_no_lines_nothing_is_told() -> None:
    batch = read_usual([], [], NAMING)
    assert (batch.rows.num_rows, batch.told, batch.others) == (0, [], [])
