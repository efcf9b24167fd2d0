"""`calls import` and `survey`: files, folders, patterns, gzip, stdin; bad input; what they say."""

import gzip
import io
import json
import sys
import zlib
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from meshwarden.cli import run
from meshwarden.kernel import CALL_SCHEMA

ISTIO = {
    "start_time": "2026-11-23T17:00:00.120Z", "method": "GET", "path": "/reviews/17", "response_code": 200,
    "response_flags": "-", "bytes_received": 0, "bytes_sent": 178, "duration": 4, "request_id": "r1",
    "upstream_cluster": "outbound|9080||reviews.shop.svc.cluster.local",
    "downstream_local_uri_san": "spiffe://cluster.local/ns/shop/sa/web",
}  # fmt: skip
OUT = "calls.parquet"


def _line(**fields: Any) -> bytes:
    return json.dumps(ISTIO | fields).encode() + b"\n"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _import(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    assert run(["calls", "import", *arguments, "-o", OUT, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_files_folders_patterns_and_gzip(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "logs" / "deep").mkdir(parents=True)
    (here / "logs" / "a.log").write_bytes(_line())
    (here / "logs" / "deep" / "b.log.gz").write_bytes(gzip.compress(_line(request_id="r2")))
    (here / "c-1.log").write_bytes(_line(request_id="r3") + _line(request_id="r4"))
    found = _import(capsys, "logs", "c-*.log")
    assert (found["files"], found["kept"], found["formats"]) == (3, 4, {"istio-json": 4})
    table = pq.read_table(OUT)
    assert table.schema.remove_metadata().equals(CALL_SCHEMA)
    assert table["source"].to_pylist() == ["spiffe://cluster.local/ns/shop/sa/web"] * 4


@pytest.mark.usefixtures("here")
def test_stdin(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    class _Stdin:
        buffer = io.BytesIO(_line() + b"\n\n" + _line(request_id="r2"))

    monkeypatch.setattr(sys, "stdin", _Stdin())
    assert _import(capsys, "-")["kept"] == 2


def test_bad_records_are_counted_kept_aside_and_the_rest_is_read(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = (
        _line() + _line() + b"{torn\n" + b"\xff\xfe\n" + b"x" * 200_000 + b"\n"
        + b'{"a":' * 9000 + b"\n" + b"\x1b[2Jboo\n" + _line(request_id="r2", bytes_sent="many")
        + _line(request_id="r3", start_time="2026-11-23T12:00:00Z")
        + _line(request_id="r4", start_time="2026-11-23T16:59:00Z") + _line(request_id="r5")[:-1]
    )  # fmt: skip
    (here / "a.log").write_bytes(log)
    found = _import(capsys, "a.log", "--rejected", "bad.jsonl")
    assert (found["read"], found["kept"]) == (11, 4)
    assert found["set_aside"] == {
        "duplicate": 1, "not JSON": 2, "not UTF-8": 1, "longer than 65536 bytes": 1,
        "nested too deeply": 1, "response_bytes is no whole number": 1,
    }  # fmt: skip
    assert sorted(found["notes"].values()) == [1, 1]
    kept = [json.loads(line) for line in (here / "bad.jsonl").read_text().splitlines()]
    assert [row["where"] for row in kept] == [f"line {n}" for n in range(2, 9)]
    assert all(row["log"] == "a.log" and row["reason"] for row in kept)
    assert all(len(row["line"]) <= 8192 for row in kept)


def test_formats_mixed_in_one_log_are_read_each_as_what_it_is(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = Path(__file__).parents[2] / "vectors/istio-text/cases.json"
    (here / "a.log").write_bytes(
        _line() + json.loads(text.read_text())[0]["lines"][0].encode() + b"\nwarning: x\n"
    )
    found = _import(capsys, "a.log")
    assert (found["kept"], found["set_aside"]) == (2, {"not JSON": 1})
    assert list(found["notes"]) == ["lines of another format in a log of istio-json: istio-text"]


def test_truncated_gzip_gives_what_it_holds(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    packed = gzip.compress(b"".join(_line(request_id=f"r{n}") for n in range(5000)))
    (here / "a.log.gz").write_bytes(packed[: len(packed) * 2 // 3])
    found = _import(capsys, "a.log.gz")
    assert 1000 < found["kept"] < 5000
    assert "a.log.gz: gzip ends early; read as far as it goes" in found["notes"]


def test_gzip_with_a_wrong_checksum_gives_all_that_it_holds(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    packed = bytearray(gzip.compress(b"".join(_line(request_id=f"r{n}") for n in range(500))))
    packed[-8] ^= 1
    (here / "a.log.gz").write_bytes(packed)
    found = _import(capsys, "a.log.gz")
    assert (found["kept"], found["set_aside"]) == (500, {})
    assert list(found["notes"]) == ["a.log.gz: gzip is damaged; read as far as it goes"]


def test_a_line_that_was_cut_off_is_no_line(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    header = b"#separator \\x09\n#fields\tts\tuid\tid.orig_h\tid.resp_h\tproto\torig_bytes\n"
    rows = b"1700000000.0\tC1\t10.0.0.1\t10.0.0.2\ttcp\t1\n1700000001.0\tC2\t10.0.0.1\t10.0.0.2\ttcp\t12"
    packer = zlib.compressobj(wbits=31)
    cut = packer.compress(header + rows) + packer.flush(zlib.Z_SYNC_FLUSH)
    (here / "conn.log.gz").write_bytes(cut)
    (here / "calls.csv.gz").write_bytes(
        gzip.compress(b"time,source,destination,status\n1,a,b,200\n2,a,b,20")[:-8]
    )
    assert _import(capsys, "conn.log.gz")["kept"] == 1
    assert _import(capsys, "calls.csv.gz")["kept"] == 1


def test_a_giant_first_line_hides_neither_format_nor_calls(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "a.log").write_bytes(b'{"path":"' + b"x" * 5_000_000 + b'"}\n' + _line())
    found = _import(capsys, "a.log", "--rejected", "bad.jsonl")
    assert (found["kept"], found["set_aside"]) == (1, {"longer than any line": 1})
    assert (here / "bad.jsonl").read_text().count("\n") == 1


def test_an_export_of_spans_may_be_longer_than_a_chunk(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    vectors = Path(__file__).parents[2] / "vectors/otlp/cases.json"
    export = json.loads(json.loads(vectors.read_text())[0]["lines"][0])
    export["resourceSpans"][0]["pad"] = "x" * 3_000_000
    (here / "spans.json").write_text(json.dumps(export, separators=(",", ":")) + "\n")
    assert _import(capsys, "spans.json")["formats"] == {"otlp": 1}


def test_csv_with_broken_lines_and_a_cut_end(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = (
        b"time,source,destination\n1,a,b\n"
        + b"9" * 200_000
        + b"\n2,a,\xff\n3,a\n"
        + b"4,a,b\n" * 2000
    )
    packed = gzip.compress(rows)
    (here / "calls.csv.gz").write_bytes(packed[:-9])
    (here / "whole.csv").write_bytes(rows)
    found = _import(capsys, "whole.csv")
    assert (found["kept"], found["set_aside"]) == (
        2001,
        {"longer than 65536 bytes": 1, "not UTF-8": 1, "wrong number of columns": 1},
    )
    cut = _import(capsys, "calls.csv.gz")
    assert cut["kept"] >= 1
    assert cut["set_aside"]["gzip ends early"] == 1
    assert cut["notes"]["calls.csv.gz: gzip ends early; read as far as it goes"] == 1


def test_unknown_columns_are_left_out_and_said_once_each(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = "1,a,b,x,7\n" * 70_000  # more than one batch
    (here / "calls.csv").write_text("time,source,destination,flavour,duration_ns\n" + rows)
    (here / "wide.csv").write_text(
        f"time,source,destination,{','.join(f'c{k}' for k in range(500))}\n1,a,b{',' * 500}\n"
    )
    found = _import(capsys, "calls.csv")
    assert found["notes"]["column flavour is none of a call's: not read"] == 1
    assert "duration_ns" not in str(found["notes"])
    wide = _import(capsys, "wide.csv")
    assert wide["kept"] == 1
    assert len(wide["notes"]) <= 65


def test_parquet_and_recorded_parts(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "a.log").write_bytes(_line() + _line(request_id="r2"))
    assert _import(capsys, "a.log")["kept"] == 2
    Path(OUT).rename("b.parquet")
    assert _import(capsys, "b.parquet")["kept"] == 2


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "a.log: empty"),
        (b"\n\n", "a.log: empty"),
        (b"hello\n" * 9, "the format cannot be told"),
        (b"hello", "the format cannot be told"),
        (b"x" * 3_000_000, "1 record, no calls: longer than any line"),
        (b"x" * 3_000_000 + b"\n", "1 record, no calls: longer than any line"),
    ],
)
def test_nothing_to_read_is_one_clear_line_and_exit_2(
    here: Path, content: bytes, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "a.log").write_bytes(content)
    for command in (["calls", "import", "a.log", "-o", OUT], ["survey", "a.log"]):
        assert run(command) == 2
        shown = capsys.readouterr()
        assert (shown.out, shown.err.count("\n")) == ("", 1)
        assert said in shown.err
    assert sorted(path.name for path in here.iterdir()) == ["a.log"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["none.log", "-o", OUT], ["*.none", "-o", OUT], ["-o", OUT], ["a.log", "-o", "folder"], ["a.log", "-o", OUT, "--folow"],
        ["a.log", "-o", OUT, "--follow"], ["a.log", "-o", OUT, "--from", "syslog"],
        ["a.log", "-o", "/nowhere/x.parquet"], ["a.log", "-o", OUT, "--rejected", "/nowhere/x"],
        ["otlp://127.0.0.1:1", "a.log", "-o", "folder"],
    ],
)  # fmt: skip
def test_wrong_usage_is_one_line_and_exit_2(
    here: Path, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "a.log").write_bytes(_line())
    assert run(["calls", "import", *arguments]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_control_characters_do_not_reach_the_terminal(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "\x1b[31mred.log").write_bytes(_line() + b"junk\n")
    (here / "x\x1b[2J").write_bytes(b"junk\n")
    assert run(["calls", "import", str(here), "-o", OUT]) == 0
    shown = capsys.readouterr()
    assert "\x1b" not in shown.out + shown.err


def test_survey_prints_the_map_and_how_sure_it_is(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "a.log").write_bytes(b"".join(_line(request_id=f"r{n}") for n in range(5)) + b"junk\n")
    assert run(["survey", "a.log", "-o", "out"]) == 0
    shown = capsys.readouterr().out
    assert "web     ..> reviews  5 calls" in shown
    assert "named       100.0%" in shown
    assert "readable    83.3%" in shown
    found = json.loads((here / "out" / "survey.json").read_text())
    assert found["certainty"]["proven"] == 0.0
    assert found["map"][0]["destination"] == "spiffe://cluster.local/ns/shop/workload/reviews"
    assert "reviews" in (here / "out" / "map.svg").read_text()
    assert pq.read_table(here / "out" / OUT).num_rows == 5
    assert run(["survey", "a.log", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["certainty"]["edges"] == 1


def test_pods_logs_know_whose_they_are(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pod = here / "pods/shop_web-6d4b75cb6d-x7k2p_0f2b7a52-5d1c-4a0e-9f0e-6a2b0a4f9c11/istio-proxy"
    pod.mkdir(parents=True)
    line = json.dumps({k: v for k, v in ISTIO.items() if "uri_san" not in k}).encode()
    (pod / "0.log").write_bytes(b"2026-11-23T17:00:00.1Z stdout F " + line + b"\n")
    _import(capsys, "pods")
    assert pq.read_table(OUT)["source"].to_pylist() == [
        "spiffe://cluster.local/ns/shop/workload/web"
    ]
