"""One suite for every log format: its vectors, hostile lines, and what must hold of any decoder."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshwarden.adapters.sources.columns import batch_of
from meshwarden.adapters.sources.row import Context
from meshwarden.control.sources import Source, SourceOptions, open_source
from meshwarden.control.sources.formats import LINE_FORMATS
from meshwarden.kernel import CALL_SCHEMA, InputError, SpiffeId

VECTORS = Path("tests/vectors")


def _cases() -> list[Any]:
    return [
        pytest.param(name, case, id=f"{name}: {case['note']}")
        for name in LINE_FORMATS
        for case in json.loads((VECTORS / name / "cases.json").read_text())
    ]


def _octets(case: dict[str, Any]) -> list[bytes]:
    if "hex" in case:
        return [bytes.fromhex(line) for line in case["hex"]]
    return [line.encode() for line in case["lines"]]


@pytest.mark.parametrize(("name", "case"), _cases())
def test_vector(name: str, case: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"\n".join(_octets(case)) + b"\n")
    source = open_source(
        [path], options=SourceOptions(format="auto" if case.get("wrapped") else name)
    )
    rows = _rows(source)
    if "refused" in case:
        assert dict(source.report.set_aside) == {case["refused"]: 1}
        return
    assert source.report.aside == 0, source.report
    assert [_part(row, want) for row, want in zip(rows, case["expect"], strict=True)] == case[
        "expect"
    ]


def _part(row: dict[str, Any], wanted: dict[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in wanted}


def _rows(source: Source) -> list[dict[str, Any]]:
    """Return the calls with times and durations in nanoseconds."""
    table = pa.Table.from_batches(list(source), CALL_SCHEMA)
    for name in ("time", "duration"):
        at = table.column_names.index(name)
        table = table.set_column(at, name, table[name].cast(pa.int64()))
    rows: list[dict[str, Any]] = table.to_pylist()
    return rows


@pytest.mark.parametrize("name", LINE_FORMATS)
def test_every_format_has_vectors_that_pass_and_vectors_that_are_refused(name: str) -> None:
    cases = json.loads((VECTORS / name / "cases.json").read_text())
    assert any(case.get("expect") for case in cases)
    assert name == "istio-json" or any("refused" in case for case in cases)


@pytest.mark.parametrize(("name", "case"), _cases())
def test_auto_tells_the_format_of_what_can_be_read(
    name: str, case: dict[str, Any], tmp_path: Path
) -> None:
    if not case.get("expect") or "hex" in case:
        return
    path = tmp_path / "log"
    path.write_bytes(b"\n".join(_octets(case)) + b"\n")
    source = open_source([path])
    calls = sum(batch.num_rows for batch in source)
    assert calls == len(case["expect"])
    assert set(source.report.formats) == {name} or name in {"istio-json", "envoy-json"}


HOSTILE = [
    b"\0", b"{", b"[" * 100_000, b'{"a":' * 50_000, b"\xff\xfe\xfd", b"#fields", b"#separator \\",
    b"#separator \\x", b"#separator \\ud800", b'{"time":1e400}', b'{"ts":' + b"9" * 4000 + b"}", b"null",
    b'{"flow":{"verdict":[],"time":{}}}', b'{"resourceSpans":[[1,{}],{"resource":3,"scopeSpans":[null]}]}',
    b'{"resourceSpans":[{"scopeSpans":[{"spans":[{"kind":[]},{"kind":2,"traceId":7}]}]}]}',
    b'{"start_time":true,"response_code":{},"upstream_host":[]}', b'{"client.addr":1,"uri":2,"timestamp":3}',
    b'{"id.orig_h":1,"id.resp_h":2,"proto":[],"ts":1}', b"%s" * 1000, b'"' * 60_000, b"\x1b[2J\x07",
]  # fmt: skip


@pytest.mark.parametrize("name", LINE_FORMATS)
@pytest.mark.parametrize("line", HOSTILE, ids=range(len(HOSTILE)))
def test_a_hostile_line_is_an_input_error_or_no_call(name: str, line: bytes) -> None:
    decoder = LINE_FORMATS[name].decoder(Context())
    try:
        rows = [*decoder.decode(line), *decoder.finish()]
    except InputError as refused:
        assert refused.code == "source.line"
        assert len(refused.message) < 80
        return
    batch_of(rows).validate(full=True)


_SEEDS = [
    (name, line)
    for name in LINE_FORMATS
    for case in json.loads((VECTORS / name / "cases.json").read_text())
    for line in _octets(case)
    if "wrapped" not in case and len(line) < 4000
]


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_a_damaged_line_never_breaks_the_run(data: st.DataObject) -> None:
    name, line = data.draw(st.sampled_from(_SEEDS))
    at = data.draw(st.integers(0, max(0, len(line) - 1)))
    length = data.draw(st.integers(0, 12))
    damaged = line[:at] + data.draw(st.binary(max_size=12)) + line[at + length :]
    _decode_soundly(name, damaged)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_any_value_under_any_known_key_never_breaks_the_run(data: st.DataObject) -> None:
    name, line = data.draw(st.sampled_from([s for s in _SEEDS if LINE_FORMATS[s[0]].is_json]))
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return
    if not isinstance(found, dict) or not found:
        return
    holder = found
    for _ in range(data.draw(st.integers(0, 4))):
        inner = [value for value in holder.values() if isinstance(value, dict) and value]
        if inner:
            holder = data.draw(st.sampled_from(inner))
    holder[data.draw(st.sampled_from(sorted(holder)))] = data.draw(_JSON)
    _decode_soundly(name, json.dumps(found).encode())


def _decode_soundly(name: str, line: bytes) -> None:
    decoder = LINE_FORMATS[name].decoder(Context())
    try:
        rows = [*decoder.decode(line), *decoder.finish()]
    except InputError as refused:
        assert refused.code == "source.line"
        return
    batch = batch_of(rows)
    batch.validate(full=True)
    for column in ("source", "destination"):
        for party in batch.column(column).cast(pa.string()).to_pylist():
            assert party == "unknown" or party.startswith("external:") or SpiffeId.parse(party)
