"""The control plane's counters as Prometheus reads them, read by the grammar of the format."""

import re
from pathlib import Path

import httpx
import pyarrow as pa
import pytest
from tests.unit.plane.bench import DOMAIN, Bench

from meshwarden.console.api import build_api
from meshwarden.console.exposition import CONTENT_TYPE, Family, Kind, render_metrics
from meshwarden.control.recording.figures import refused_by
from meshwarden.kernel import Call, Finding, Severity, calls_to_table

_HELP = re.compile(r"# HELP ([a-zA-Z_:][a-zA-Z0-9_:]*) (.*)")
_TYPE = re.compile(r"# TYPE ([a-zA-Z_:][a-zA-Z0-9_:]*) (counter|gauge)")
_SAMPLE = re.compile(
    r"([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{([a-zA-Z_][a-zA-Z0-9_]*)=\"((?:[^\"\\\n]|\\[\\\"n])*)\"\})?"
    r" ([0-9.e+-]+)"
)


def parse(text: str) -> dict[str, dict[str, float]]:
    """Return the numbers by metric and label; fails where the text breaks the format."""
    found: dict[str, dict[str, float]] = {}
    current = ""
    assert text.endswith("\n")
    for line in text.splitlines():
        if helped := _HELP.fullmatch(line):
            assert helped[1] not in found
            current = helped[1]
        elif typed := _TYPE.fullmatch(line):
            assert typed[1] == current
            assert current.endswith("_total") is (typed[2] == "counter")
            found[current] = {}
        else:
            sample = _SAMPLE.fullmatch(line)
            assert sample, line
            assert sample[1] == current
            value = re.sub(r"\\(.)", lambda m: "\n" if m[1] == "n" else m[1], sample[3] or "")
            assert value not in found[current]
            found[current][value] = float(sample[4])
    return found


async def read(bench: Bench) -> dict[str, dict[str, float]]:
    plane = bench.plane()
    plane.publisher.certify()
    transport = httpx.ASGITransport(app=build_api(plane))
    async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
        answer = await client.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == CONTENT_TYPE
    return parse(answer.text)


async def test_the_counters_are_there_from_the_start(tmp_path: Path) -> None:
    found = await read(Bench(tmp_path))
    assert found["meshwarden_sidecars"] == {"": 2}
    assert found["meshwarden_sidecars_connected"] == {"": 0}
    assert found["meshwarden_log_lines_unreadable_total"] == {"": 0}
    assert found["meshwarden_calls_total"] == {"": 0}
    assert "meshwarden_findings_total" not in found


async def test_findings_count_by_code(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    plane = bench.plane()
    plane.publisher.certify()
    for code in ("a.b", "a.b", "c"):
        plane.teller.tell(
            Finding(time=1, code=code, subject="s", severity=Severity.LOW, sentence="x")
        )
    transport = httpx.ASGITransport(app=build_api(plane))
    async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
        found = parse((await client.get("/metrics")).text)
    assert found["meshwarden_findings_total"] == {"a.b": 2, "c": 1}


@pytest.mark.parametrize("value", ['a"b', "a\\b", "a\nb", "é", "a} 1"])
def test_whatever_a_label_holds_is_read_back(value: str) -> None:
    family = Family(name="x_total", kind=Kind.COUNTER, help="a\nb \\", label="l", values={value: 3})
    assert parse(render_metrics([family])) == {"x_total": {value: 3}}


def test_large_counts_are_exact() -> None:
    assert " 9007199254740991\n" in render_metrics(
        [Family.of("x", Kind.GAUGE, "x", float(2**53 - 1))]
    )


def _refused(rule: str | None) -> pa.Table:
    return calls_to_table(
        [
            Call(
                time=1, source=f"{DOMAIN}/a", destination=f"{DOMAIN}/b", protocol="http",
                denied=True, rule=rule, reporter="destination",
            )
        ]
    )  # fmt: skip


@pytest.mark.parametrize(
    ("rule", "layer"),
    [
        ("token", "token"), ("token:once", "token"), ("containment:session", "containment"),
        ("tls:expired", "tls"), ("ledger.accepts[0]", "policy"), (None, "policy"),
        ("default-deny", "default-deny"),
    ],
)  # fmt: skip
def test_refusals_count_by_what_refused(rule: str | None, layer: str) -> None:
    assert refused_by(_refused(rule)) == {layer: 1}
