"""`meshwarden behaviour`: learn what is normal, score calls, look at what was learned."""

import json as jsonlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq
from cyclopts import App, Parameter

from meshwarden.adapters.clock import SystemClock
from meshwarden.adapters.ocsf import render_detection
from meshwarden.adapters.storage.baseline import load_baseline, store_baseline
from meshwarden.adapters.storage.calls import CallBatch
from meshwarden.behaviour import Model, Scored, Settings
from meshwarden.cli.behaviour_text import (
    finding_lines,
    learned_lines,
    learned_svg,
    warm_up_text,
)
from meshwarden.cli.behaviour_verdict import benign, verdicts
from meshwarden.cli.behaviour_watch import watch
from meshwarden.cli.calls_text import counted, printable, rfc3339
from meshwarden.cli.prior import Prior, load_declared
from meshwarden.cli.sources import aside_lines
from meshwarden.cli.writing import show_text
from meshwarden.control.sources import SourceReport
from meshwarden.control.sources.columns import read_counted
from meshwarden.control.watching.findings import findings_about_verdicts
from meshwarden.kernel import ConfigError, Finding, InputError

app = App(
    name="behaviour",
    help="What is normal between services, and what is not.",
    help_epilogue="Example: meshwarden behaviour score calls.parquet -o scores.parquet",
    help_format="plaintext",
    result_action="return_value",
)

app.command(watch, help_epilogue="Example: meshwarden behaviour watch --state .meshwarden --json")
app.command(
    benign,
    help_epilogue="Example: meshwarden behaviour benign payments --to external:api.example"
    ' --days 14 --reason "a migration, ticket 4711"',
)
app.command(verdicts, help_epilogue="Example: meshwarden behaviour verdicts --state .meshwarden")
Json = Annotated[bool, Parameter(name="--json", negative="")]
Output = Annotated[Path, Parameter(name=["--output", "-o"])]
_PROGRESS_CALLS = 1_000_000
_SCORES = pa.schema(
    [("row", pa.int64()), ("score", pa.float64()), ("alert", pa.bool_()), ("channel", pa.string())]
)


@app.command(help_epilogue="Example: meshwarden behaviour learn calls.parquet -o baseline")
def learn(*calls: Path, output: Output, policy: Path | None = None, json: Json = False) -> int:
    """Learn a baseline from calls; what is alarming in them is not learned.

    Args:
        calls: Parquet, CSV, gzipped CSV, or a state's folder of calls.
        output: where the baseline goes.
        policy: access policy; new calls that it allows surprise less, those that it denies more.
        json: print one JSON object.
    """
    model, report = Model(declared=load_declared(policy)), SourceReport()
    alarms = sum(int(s.alert.sum()) for _, s in _observe(model, calls, report))
    _not_empty(model)
    store_baseline(output, model.save())
    learned = model.describe()
    if json:
        learned.pop("edges")
        _print_json(_times(learned) | {"alarms": alarms} | _read_object(report))
        return 0
    print("\n".join(learned_lines(learned)))
    told = f"{counted(alarms, 'alarm')} while learning; what alarmed was not learned"
    print("\n".join([told, *aside_lines(report)]))
    return 0


@app.command(help_epilogue="Example: meshwarden behaviour merge here there -o both")
def merge(first: Path, *others: Path, output: Output) -> int:
    """Join baselines of several places: what the first does not know is taken from the others.

    Args:
        first: whose calibration, budget, verdicts and silences stay.
        others: read in order; the same table sizes.
        output: where the joined baseline goes.
    """
    model = Model.load(load_baseline(first))
    for other in others:
        model.merge(Model.load(load_baseline(other)))
    store_baseline(output, model.save())
    print("\n".join(learned_lines(model.describe())))
    return 0


@app.command(
    help_epilogue="Example: meshwarden behaviour score calls.csv.gz --baseline baseline"
    " --false-alarms-per-day 1 -o scores.parquet"
)
def score(
    *calls: Path,
    output: Output,
    prior: Prior | None = None,
    false_alarms_per_day: float = 1.0,
    ocsf: Path | None = None,
    json: Json = False,
) -> int:
    """Score each call before it is learned; exit 1 where an alarm was raised.

    Args:
        calls: Parquet, CSV, gzipped CSV, or a state's folder of calls.
        output: Parquet with one line per call: row, score, alert, channel.
        prior: what is known before.
        false_alarms_per_day: budget.
        ocsf: write findings there as OCSF Detection Findings, one JSON line each.
        json: print one JSON object.
    """
    model = _begun(prior or Prior(), false_alarms_per_day)
    report, findings, alarms = SourceReport(), _held_back(model), 0
    with _written(output), pq.ParquetWriter(output, _SCORES) as writer:
        for batch, scored in _observe(model, calls, report):
            writer.write_table(_rows(batch, scored))
            findings += scored.findings
            alarms += int(scored.alert.sum())
    if ocsf is not None:
        with _written(ocsf):
            lines = [jsonlib.dumps(render_detection(one)) + "\n" for one in findings]
            ocsf.write_text("".join(lines), "utf-8")
    _not_empty(model)
    return _report(model, findings, alarms, report, json=json)


@app.command(
    help_epilogue="Example: meshwarden behaviour show baseline --format svg -o learned.svg"
)
def show(
    baseline: Path,
    *,
    format: Literal["text", "svg"] = "text",  # noqa: A002  # the option's name
    output: Annotated[Path | None, Parameter(name=["--output", "-o"])] = None,
    json: Json = False,
) -> int:
    """Show what was learned, as text or as a picture.

    Args:
        baseline: written by `behaviour learn`.
        format: text or svg.
        output: write there instead of to the terminal.
        json: print one JSON object.
    """
    learned = Model.load(load_baseline(baseline)).describe()
    if json:
        _print_json(_times(learned))
        return 0
    text = learned_svg(learned) if format == "svg" else "\n".join(learned_lines(learned))
    show_text(text, output, code="behaviour.output")
    return 0


def _begun(prior: Prior, budget: float) -> Model:
    declared = prior.declared()
    if prior.baseline is None:
        return Model(Settings(false_alarms_per_day=budget), declared)
    return Model.load(load_baseline(prior.baseline), declared, false_alarms_per_day=budget)


def _held_back(model: Model) -> list[Finding]:
    """Return, and say, which verdicts may hold back what will be scored."""
    found = findings_about_verdicts(SystemClock(), model.verdicts, after=model.times[1])
    for one in found:
        print(printable(one.sentence), file=sys.stderr)
    return found


def _observe(
    model: Model, calls: tuple[Path, ...], report: SourceReport
) -> Iterator[tuple[CallBatch, Scored]]:
    if not calls:
        raise ConfigError("behaviour.calls", "name files of calls")
    told = _PROGRESS_CALLS
    for batch in read_counted(calls, report):
        yield batch, model.observe(batch.table)
        if model.calls >= told:
            print(f"{model.calls:,} calls", file=sys.stderr)
            told += _PROGRESS_CALLS


@contextmanager
def _written(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ConfigError("behaviour.output", f"{path} cannot be written: {error}") from error


def _rows(batch: CallBatch, scored: Scored) -> pa.Table:
    columns = [batch.numbers, scored.score, scored.alert, scored.channel.cast(pa.string())]
    return pa.table(columns, schema=_SCORES)


def _not_empty(model: Model) -> None:
    if not model.calls:
        raise InputError("behaviour.empty", "no calls: nothing to learn from", where="calls")


def _report(
    model: Model, findings: list[Finding], alarms: int, report: SourceReport, *, json: bool
) -> int:
    learned = model.describe()
    if json:
        shown: list[dict[str, Any]] = [asdict(f) | {"time": rfc3339(f.time)} for f in findings]
        learned.pop("edges")
        said = {"alarms": alarms, "findings": shown}
        _print_json(_times(learned) | said | _read_object(report))
    else:
        lines = finding_lines(findings)
        lines.append(
            f"{counted(learned['calls'], 'call')}, {counted(alarms, 'alarm')};"
            f" {warm_up_text(learned)}"
        )
        print("\n".join([*lines, *aside_lines(report)]))
    return 1 if alarms else 0


def _times(learned: dict[str, Any]) -> dict[str, Any]:
    return learned | {key: rfc3339(learned[key]) for key in ("first", "last")}


def _read_object(report: SourceReport) -> dict[str, Any]:
    return {"rejected": dict(report.set_aside), "notes": dict(report.notes)}


def _print_json(value: dict[str, Any]) -> None:
    print(jsonlib.dumps(value, ensure_ascii=False))
