"""Our own sidecars' logs: one call of what both ends reported, whichever is read first."""

from pathlib import Path

import pyarrow as pa
import pytest
from tests.unit.recording.access_log_lines import GATEWAY, LEDGER, inbound, outbound

from meshwarden.control.sources import open_source
from meshwarden.kernel import CALL_SCHEMA

START = 1_795_471_665_000_000_000


@pytest.mark.parametrize("order", [("gateway", "ledger"), ("ledger", "gateway")])
def test_both_ends_are_one_call(tmp_path: Path, order: tuple[str, str]) -> None:
    logs = {name: tmp_path / name / "access.log" for name in order}
    for log in logs.values():
        log.parent.mkdir()
    logs["gateway"].write_bytes(outbound(START, "one") + outbound(START, "alone"))
    logs["ledger"].write_bytes(inbound(START, "one") + b"torn\n")
    source = open_source([logs[name] for name in order])
    table = pa.Table.from_batches(list(source), CALL_SCHEMA)
    assert sorted(table["reporter"].to_pylist()) == ["destination", "source"]
    assert GATEWAY in table["source"].to_pylist()
    assert LEDGER in table["destination"].to_pylist()
    assert source.report.aside == 1
