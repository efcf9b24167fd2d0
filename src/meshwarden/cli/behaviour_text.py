"""What `meshwarden behaviour` shows: lines of text, and a picture of who calls whom."""

from collections.abc import Sequence
from typing import Any, Final
from xml.sax.saxutils import escape

from meshwarden.cli.calls_text import counted, printable, rfc3339
from meshwarden.kernel import Finding

_SHOWN_EDGES: Final = 40
_CELL: Final = 14
_MARGIN: Final = 220
_SHOWN_PARTIES: Final = 60


def finding_lines(findings: Sequence[Finding]) -> list[str]:
    """Return one line for each finding."""
    return [f"{rfc3339(f.time)} {f.severity.value:<8} {printable(f.sentence)}" for f in findings]


def learned_lines(learned: dict[str, Any]) -> list[str]:
    """Return what was learned, the most regular edges last named first."""
    lines = [
        f"{learned['calls']:,} calls in {learned['days']:g} days, {warm_up_text(learned)}",
        f"{learned['identities']:,} identities, {learned['edges_known']:,} edges,"
        f" {learned['services']:,} services, {learned['links']:,} uses of a service",
        f"{counted(len(learned['verdicts']), 'verdict')},"
        f" {counted(learned['suppressed'], 'alarm')} held back by them",
        "hours  edge",
    ]
    lines += [
        f"{edge['hours']:>5}  {edge['source']} -> {edge['destination']}"
        for edge in learned["edges"][:_SHOWN_EDGES]
    ]
    if learned["edges_known"] > _SHOWN_EDGES:
        lines.append(f"       and {learned['edges_known'] - _SHOWN_EDGES:,} more")
    return [printable(line) for line in lines]


def warm_up_text(learned: dict[str, Any]) -> str:
    """Return whether the model still warms up, and until when."""
    if not learned["warming_up"]:
        return "warmed up"
    warm = learned["warm_up"]
    return (
        f"still warming up: nothing is reported in the first {warm['minutes']:g} minutes"
        f" and {warm['calls']} calls"
    )


def learned_svg(learned: dict[str, Any]) -> str:
    """Return a matrix: callers down, callees across, darker where seen in more different hours."""
    edges = learned["edges"]
    rows = list(dict.fromkeys(e["source"] for e in edges))[:_SHOWN_PARTIES]
    columns = list(dict.fromkeys(e["destination"] for e in edges))[:_SHOWN_PARTIES]
    most = max((e["hours"] for e in edges), default=1)
    width, height = _MARGIN + _CELL * len(columns) + 20, _MARGIN + _CELL * len(rows) + 20
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}"'
        ' font-family="sans-serif" font-size="10">',
        f"<title>{learned['calls']:,} calls: who calls whom, in how many different hours</title>",
        f'<rect width="{width}" height="{height}" fill="white"/>',
    ]
    parts += [
        f'<text x="{_MARGIN - 6}" y="{_MARGIN + _CELL * i + 11}" text-anchor="end">'
        f"{escape(_short(name))}</text>"
        for i, name in enumerate(rows)
    ]
    parts += [
        f'<text transform="translate({_MARGIN + _CELL * i + 11},{_MARGIN - 6}) rotate(-90)">'
        f"{escape(_short(name))}</text>"
        for i, name in enumerate(columns)
    ]
    for edge in edges:
        if edge["source"] in rows and edge["destination"] in columns:
            shade = 0.15 + 0.85 * edge["hours"] / most
            parts.append(
                f'<rect x="{_MARGIN + _CELL * columns.index(edge["destination"])}"'
                f' y="{_MARGIN + _CELL * rows.index(edge["source"])}" width="{_CELL - 1}"'
                f' height="{_CELL - 1}" fill="#1f4e79" fill-opacity="{shade:.2f}">'
                f"<title>{escape(edge['source'])} to {escape(edge['destination'])}:"
                f" {edge['hours']} hours</title></rect>"
            )
    return "\n".join([*parts, "</svg>"])


def _short(name: str) -> str:
    last = name if name.startswith("external:") else name.rpartition("/")[2]
    return last if len(last) <= 34 else last[:33] + "…"
