"""Figures of all rounds, what they come to, and how they are shown.

A ratio compares with a bare run right before or after. Shown is the median over the rounds with the
quartiles, because one figure would hide how much they differ; the ratio of bare to bare is what the
machine alone makes of it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median, quantiles
from typing import Final

TARGET_THROUGHPUT: Final = 0.93
TARGET_P99: Final = 1.15


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One variant in one round.

    Attributes:
        throughput_per_s: requests a second in the closed loop.
        envoy_us: Envoy's processor time for each of them, in microseconds.
        envoy_busy: share of its core that Envoy used meanwhile; well below 1 means that something
            else was the bottleneck.
        authorizer_us: the remote authorizer's processor time for each; None where there is none.
        others_busy: cores that processes outside of the benchmark used meanwhile.
        p50_ms: latency in the open loop; None where the variant cannot carry that rate.
        p99_ms: the same.
    """

    throughput_per_s: float
    envoy_us: float
    envoy_busy: float
    authorizer_us: float | None
    others_busy: float
    p50_ms: float | None
    p99_ms: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Everything that was measured.

    Attributes:
        machine: on what.
        connections: open at once.
        rate_per_s: of the open loop: half of what the first bare run carried.
        seconds: of each load.
        forward: whether an application answered, or the proxy itself.
        bare: the variant that the others are compared with.
        rounds: by variant, one entry for each round.
        beside: by variant, the bare run next to each of them.
        not_measured: variants that could not be, and why.
    """

    machine: Mapping[str, str]
    connections: int
    rate_per_s: float
    seconds: float
    forward: bool
    bare: str
    rounds: Mapping[str, Sequence[Measured]]
    beside: Mapping[str, Sequence[Measured]]
    not_measured: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its heading, its figure, its format, and whether it is a ratio to bare."""

    heading: str
    figure: Callable[[Measured], float | None]
    form: str = ",.0f"
    ratio: bool = False


COLUMNS: Final = (
    Column("requests/s", lambda one: one.throughput_per_s),
    Column("of bare", lambda one: one.throughput_per_s, ratio=True),
    Column("Envoy us/request", lambda one: one.envoy_us, ".1f"),
    Column("of bare", lambda one: one.envoy_us, ratio=True),
    Column("Envoy busy", lambda one: one.envoy_busy, ".0%"),
    Column("authorizer us/request", lambda one: one.authorizer_us, ".0f"),
    Column("p99 ms at half load", lambda one: one.p99_ms, ".2f"),
    Column("of bare", lambda one: one.p99_ms, ratio=True),
)


def render_text(report: Report) -> str:
    """Return the report for a terminal."""
    rows = [_headings(), *_rows(report)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    return "\n".join([*lines, "", *_facts(report)])


def render_markdown(report: Report) -> str:
    """Return the report as a table for a page."""
    headings = _headings()
    rule = ["---", *("---:" for _ in COLUMNS)]
    lines = [f"| {' | '.join(row)} |" for row in (headings, rule, *_rows(report))]
    return "\n".join([*lines, "", *(f"- {fact}" for fact in _facts(report))])


def ratios(report: Report, variant: str, figure: Callable[[Measured], float | None]) -> list[float]:
    """Return the figure of `variant` as a ratio to the bare run beside it, where both have one."""
    pairs = zip(report.rounds[variant], report.beside[variant], strict=True)
    found = [(figure(one), figure(bare)) for one, bare in pairs]
    return [mine / base for mine, base in found if mine is not None and base]


def _headings() -> list[str]:
    return ["variant", *(column.heading for column in COLUMNS)]


def _rows(report: Report) -> list[list[str]]:
    rows = [[name, *(_cell(report, name, column) for column in COLUMNS)] for name in report.rounds]
    blank = [""] * (len(COLUMNS) - 1)
    return rows + [[name, "not measured", *blank] for name in report.not_measured]


def _cell(report: Report, variant: str, column: Column) -> str:
    if column.ratio:
        return _spread(ratios(report, variant, column.figure))
    figures = [column.figure(measured) for measured in report.rounds[variant]]
    known = [figure for figure in figures if figure is not None]
    return format(median(known), column.form) if known else "-"


def _spread(found: Sequence[float]) -> str:
    """Return the median with the quartiles."""
    if not found:
        return "-"
    if len(found) == 1:
        return f"{found[0]:.3f}"
    low, middle, high = quantiles(found, method="inclusive")
    return f"{middle:.3f} ({low:.3f} to {high:.3f})"


def _facts(report: Report) -> list[str]:
    rounds = len(report.rounds[report.bare])
    others = [one.others_busy for measured in report.rounds.values() for one in measured]
    machine = "; ".join(f"{name} {value}" for name, value in report.machine.items())
    facts = [
        f"Medians of {rounds} rounds, in brackets the quartiles; ratios are to a bare run right"
        " before or after, also for bare itself.",
        f"Closed loop on {report.connections} connections for {report.seconds:g} s; open loop at"
        f" {report.rate_per_s:,.0f} requests/s, half of what bare carried.",
        "The proxy forwards to an application, which the load generator plays as well."
        if report.forward
        else "The proxy answers by itself: there is no application.",
        f"Other processes used {median(others):.2f} cores meanwhile (median; at most"
        f" {max(others):.2f}).",
        machine,
    ]
    return facts + [f"{name}: not measured, {why}" for name, why in report.not_measured.items()]


def verdict(report: Report, variant: str) -> str:
    """Return one sentence: whether the medians of `variant` meet the targets."""
    throughput = median(ratios(report, variant, lambda one: one.throughput_per_s))
    p99 = ratios(report, variant, lambda one: one.p99_ms)
    kept = f"{variant} keeps {throughput:.1%} of bare throughput (target {TARGET_THROUGHPUT:.0%})"
    if not p99:
        return f"{kept}; it cannot carry half of bare's load"
    return f"{kept}; p99 is {median(p99):.2f} times bare (target {TARGET_P99})"
