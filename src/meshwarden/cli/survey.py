"""`meshwarden survey`: from logs alone, who talks to whom, what is odd, and how sure that is.

The policy and the attack paths are those of their commands: each joins the report as one more
section of `_text` and `_object`, from the same calls.parquet.
"""

import json as jsonlib
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter

from meshwarden.adapters.storage.by_time import read_by_time
from meshwarden.adapters.storage.calls import read_calls
from meshwarden.adapters.storage.parquet_file import ParquetFile
from meshwarden.behaviour import Settings
from meshwarden.cli.behaviour_text import finding_lines
from meshwarden.cli.calls_text import printable, rfc3339
from meshwarden.cli.progress import Progress
from meshwarden.cli.sources import (
    Logs,
    Reading,
    RejectedFile,
    options_of,
    report_lines,
    report_object,
    require_calls,
    require_logs,
    watched,
)
from meshwarden.control.anomalies import Anomalies, anomalies_of
from meshwarden.control.recording.graph import Edge, edge_label, short_names, sum_edges, text_lines
from meshwarden.control.recording.graph_svg import render_svg
from meshwarden.control.sources import open_source
from meshwarden.control.survey import Certainty, certainty_of
from meshwarden.kernel import ConfigError

app = App(
    name="survey",
    help="From logs alone: who talks to whom, what is odd, and how sure that is.",
    help_epilogue="Example: meshwarden survey /var/log/istio/ -o survey/",
    help_format="plaintext",
    result_action="return_value",
)


@app.default
def survey(
    *logs: Logs,
    output: Annotated[Path | None, Parameter(name=["--output", "-o"])] = None,
    reading: Reading | None = None,
    false_alarms_per_day: float = 1.0,
    json: Annotated[bool, Parameter(name="--json", negative="")] = False,
) -> int:
    """Read logs of any supported format; print the service map, what is odd, and how sure both are.

    Exit 1 where anomalies are found. Nothing is known before the first call, and what that means
    for them is said with them.

    Args:
        logs: files, folders, patterns, or - for stdin.
        output: a folder for map.svg, survey.json and calls.parquet.
        reading: how the logs are read.
        false_alarms_per_day: how many false anomalies a day are worth it.
        json: print one JSON object.
    """
    require_logs(logs)
    settings = Settings(false_alarms_per_day=false_alarms_per_day)
    reading = reading or Reading()
    with tempfile.TemporaryDirectory(prefix="meshwarden-survey-") as scratch:
        calls = _folder(output, Path(scratch)) / "calls.parquet"
        rejected, progress = RejectedFile(reading.rejected), Progress()
        source = open_source(logs, options=options_of(reading, rejected, progress))
        file = ParquetFile(calls)
        try:
            for batch in watched(source, progress):
                file.write(batch)
            require_calls(source.report)
        except BaseException:  # an interrupt, too, leaves no half file behind
            file.abandon()
            raise
        file.commit()
        rejected.flush()
        edges = sum_edges(batch.table for batch in read_calls([calls]))
        odd = anomalies_of(read_by_time(calls), settings)
    sure = certainty_of(source.report, edges, span_ns=odd.span_ns)
    found = _object(edges, sure, odd) | {"source": report_object(source.report)}
    if output is not None:
        _write(output / "map.svg", render_svg(edges))
        _write(output / "survey.json", jsonlib.dumps(found, ensure_ascii=False, indent=1) + "\n")
    text = _text(edges, sure, odd, [*report_lines(source.report), *_written(output)])
    print(jsonlib.dumps(found, ensure_ascii=False) if json else text)
    return 1 if odd.findings else 0


def _folder(output: Path | None, scratch: Path) -> Path:
    if output is None:
        return scratch
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError("survey.output", f"{output}: {error.strerror}") from error
    return output


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError("survey.output", f"{path}: {error.strerror}") from error


def _written(output: Path | None) -> list[str]:
    return [] if output is None else [f"wrote       {output}/map.svg, survey.json, calls.parquet"]


def _text(edges: Sequence[Edge], sure: Certainty, odd: Anomalies, read: Sequence[str]) -> str:
    sections = {
        "Map": text_lines(edges),
        "Anomalies": [*(finding_lines(odd.findings) or ["none found"]), *odd.lines()],
        "How sure": sure.lines(),
        "Source": read,
    }
    return "\n\n".join("\n".join([name, *map(printable, text)]) for name, text in sections.items())


def _object(edges: Sequence[Edge], sure: Certainty, odd: Anomalies) -> dict[str, Any]:
    names = short_names(edges)
    return {
        "map": [
            {
                "source": edge.source,
                "destination": edge.destination,
                "calls": edge.calls,
                "refused": edge.refused,
                "label": edge_label(edge),
            }
            for edge in edges
        ],
        "parties": names,
        "anomalies": odd.to_object()
        | {"findings": [asdict(one) | {"time": rfc3339(one.time)} for one in odd.findings]},
        "certainty": sure.to_object(),
    }
