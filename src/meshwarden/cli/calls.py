"""`meshwarden calls`: a look at recorded calls: the last ones, sums, and who talks to whom."""

import json as jsonlib
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal

import pyarrow as pa
import pyarrow.compute as pc
from cyclopts import App, Parameter

from meshwarden.adapters.clock import SystemClock
from meshwarden.adapters.storage.calls import read_calls
from meshwarden.cli.calls_import import import_calls
from meshwarden.cli.calls_text import call_line, printable, rfc3339, summary_lines
from meshwarden.cli.writing import show_text
from meshwarden.control.recording.graph import Edge, render_dot, sum_edges, text_lines
from meshwarden.control.recording.graph_svg import render_svg
from meshwarden.control.recording.summary import Summary, summarize
from meshwarden.kernel import ConfigError, InputError

app = App(
    name="calls",
    help="Recorded calls: import, list, summary, graph.",
    help_epilogue="Example: meshwarden calls graph --state .meshwarden --format svg -o calls.svg",
    help_format="plaintext",
    result_action="return_value",
)

app.command(
    import_calls,
    name="import",
    help_epilogue="Example: meshwarden calls import /var/log/istio/ -o calls.parquet",
)

Json = Annotated[bool, Parameter(name="--json", negative="")]
_AGO = re.compile(r"(\d{1,6})([smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Choice:
    """Which calls.

    Attributes:
        state: state directory of `meshwarden up` or `demo`, instead of files (.meshwarden).
        source: only calls from this party: SPIFFE ID, last part of it, or external:<host>.
        destination: only calls to this party.
        denied: only refused calls.
        since: only calls since then: 30s, 10m, 2h, 1d ago, or an RFC 3339 time.
    """

    state: Path | None = None
    source: str | None = None
    destination: str | None = None
    denied: Annotated[bool, Parameter(negative="")] = False
    since: str | None = None


@dataclass(slots=True)
class _Read:
    """The chosen calls, batch by batch, and what had to be left out on the way."""

    files: tuple[Path, ...]
    choice: Choice
    rejected: Counter[str] = field(default_factory=Counter)

    def batches(self) -> Iterator[pa.Table]:
        since = _since(self.choice.since)
        for batch in read_calls(_paths(self.files, self.choice)):
            self.rejected.update({why: len(rows) for why, rows in batch.rejected.items()})
            yield batch.table.filter(_mask(batch.table, self.choice, since))


@app.command(
    name="list",
    help_epilogue="Example: meshwarden calls list --state .meshwarden --denied --since 10m",
)
def list_calls(
    *files: Path, choice: Choice | None = None, limit: int = 20, json: Json = False
) -> int:
    """Print the newest calls, oldest first.

    Args:
        files: Parquet, CSV or gzipped CSV.
        choice: which calls.
        limit: at most so many.
        json: print one JSON object.
    """
    if not 1 <= limit <= 100_000:
        raise ConfigError("calls.limit", "--limit must be from 1 to 100000")
    read = _Read(files, choice or Choice())
    newest = pa.table({})
    total = 0
    for batch in read.batches():
        total += batch.num_rows
        both = pa.concat_tables([newest, batch]) if newest.num_rows else batch
        newest = both.take(pc.sort_indices(both["time"])[-limit:]) if both.num_rows else both
    rows = _rows(newest)
    if json:
        _print_json({"calls": rows, "matching": total, "rejected": dict(read.rejected)})
        return 0
    for row in rows:
        print(call_line(row))
    print(f"{len(rows)} of {total} calls" + _left_out(read))
    return 0


@app.command(help_epilogue="Example: meshwarden calls summary --state .meshwarden --since 1h")
def summary(*files: Path, choice: Choice | None = None, json: Json = False) -> int:
    """Print sums: how many, refused by which rule, under mutual TLS, how fast.

    Args:
        files: Parquet, CSV or gzipped CSV.
        choice: which calls.
        json: print one JSON object.
    """
    read = _Read(files, choice or Choice())
    found = summarize(read.batches())
    if json:
        _print_json(_summary_object(found) | {"rejected": dict(read.rejected)})
        return 0
    print("\n".join(summary_lines(found)) + _left_out(read))
    return 0


@app.command(
    help_epilogue="Example: meshwarden calls graph calls.parquet --format dot | dot -Tpng > map.png"
)
def graph(
    *files: Path,
    choice: Choice | None = None,
    format: Literal["text", "svg", "dot"] = "text",  # noqa: A002  # the option's name
    output: Annotated[Path | None, Parameter(name=["--output", "-o"])] = None,
    json: Json = False,
) -> int:
    """Show who talks to whom.

    Args:
        files: Parquet, CSV or gzipped CSV.
        choice: which calls.
        format: text, svg, or dot for Graphviz.
        output: write there instead of to the terminal.
        json: print one JSON object.
    """
    read = _Read(files, choice or Choice())
    edges = sum_edges(read.batches())
    if json:
        _print_json({"edges": [_edge_object(e) for e in edges], "rejected": dict(read.rejected)})
        return 0
    if format == "svg":
        text = render_svg(edges)
    else:
        lines = text_lines(edges) if format == "text" else render_dot(edges).split("\n")
        text = "\n".join(map(printable, lines))
    show_text(text, output, code="calls.output")
    return 0


def _paths(files: tuple[Path, ...], choice: Choice) -> list[Path]:
    if not files:
        folder = (choice.state or Path(".meshwarden")) / "calls"
        if not folder.is_dir():
            raise InputError(
                "calls.missing",
                "no calls are recorded there",
                where=str(folder),
                hint="is this the --state of a meshwarden up or demo?",
            )
        return [folder]
    if choice.state is not None:
        raise ConfigError("calls.source", "name files of calls or --state DIR, not both")
    return list(files)


def _since(text: str | None) -> int | None:
    """Return nanoseconds since the epoch."""
    if text is None:
        return None
    ago = _AGO.fullmatch(text)
    try:
        if ago:
            span = timedelta(**{_UNITS[ago.group(2)]: int(ago.group(1))})
            moment = SystemClock().now() - span
        else:
            moment = datetime.fromisoformat(text)
    except (ValueError, OverflowError) as error:
        raise ConfigError(
            "calls.since", f"--since {text!r} is no time", hint="10m, 2h, or 2026-01-31T08:00:00Z"
        ) from error
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return int(moment.timestamp()) * 1_000_000_000


def _mask(table: pa.Table, choice: Choice, since: int | None) -> pa.ChunkedArray:
    mask = pc.is_valid(table["time"])
    if since is not None:
        mask = pc.and_(mask, pc.greater_equal(table["time"].cast(pa.int64()), since))
    if choice.denied:
        mask = pc.and_(mask, table["denied"])
    for name, wanted in (("source", choice.source), ("destination", choice.destination)):
        if wanted is not None:
            column = table[name].cast(pa.string())
            same = pc.or_(pc.equal(column, wanted), pc.ends_with(column, f"/{wanted}"))
            mask = pc.and_(mask, same)
    return mask


def _rows(table: pa.Table) -> list[dict[str, Any]]:
    """Return the calls as JSON objects: times RFC 3339, durations in nanoseconds."""
    if not table.num_rows:
        return []
    times = table["time"].cast(pa.int64()).to_pylist()
    durations = table["duration"].cast(pa.int64()).to_pylist()
    rows: list[dict[str, Any]] = table.drop(["time", "duration"]).to_pylist()
    return [
        {"time": rfc3339(time), **row, "duration_ns": duration}
        for time, row, duration in zip(times, rows, durations, strict=True)
    ]


def _edge_object(edge: Edge) -> dict[str, Any]:
    share = edge.mutual_tls / edge.measured if edge.measured else None
    return {
        "source": edge.source,
        "destination": edge.destination,
        "calls": edge.calls,
        "refused": edge.refused,
        "mtls_share": share,
        "bytes": edge.octets,
    }


def _summary_object(found: Summary) -> dict[str, Any]:
    return {
        "calls": found.calls,
        "refused": found.refused,
        "first": None if found.first is None else rfc3339(found.first),
        "last": None if found.last is None else rfc3339(found.last),
        "mtls_share": found.mtls_share,
        "protocols": found.protocols,
        "refused_by": found.refused_by,
        "services": found.services,
        "duration_ns": {"p50": found.quantile(0.5), "p99": found.quantile(0.99)},
    }


def _left_out(read: _Read) -> str:
    if not read.rejected:
        return ""
    reasons = ", ".join(f"{count} {why}" for why, count in read.rejected.most_common())
    return f"\nleft out: {reasons}"


def _print_json(value: dict[str, Any]) -> None:
    print(jsonlib.dumps(value, ensure_ascii=False))
