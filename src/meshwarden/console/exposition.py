"""Metrics as text that Prometheus reads: the text format, version 0.0.4.

Source: https://prometheus.io/docs/instrumenting/exposition_formats/#text-format-details
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_IN_LABEL: Final = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})
_IN_HELP: Final = str.maketrans({"\\": r"\\", "\n": r"\n"})


class Kind(StrEnum):
    """What a number does: it only grows, or it goes up and down."""

    COUNTER = "counter"
    GAUGE = "gauge"


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """One metric.

    Attributes:
        name: of letters, digits and underscores; a counter's ends in `_total`.
        kind: what its numbers do.
        help: one sentence.
        label: what tells its numbers apart; "" where it has one.
        values: the numbers, by the label's value.
    """

    name: str
    kind: Kind
    help: str
    label: str = ""
    values: Mapping[str, float]

    @classmethod
    def of(cls, name: str, kind: Kind, text: str, value: float) -> "Family":
        """Return a metric of one number."""
        return cls(name=name, kind=kind, help=text, values={"": value})


def render_metrics(families: Iterable[Family]) -> str:
    """Return the metrics as text; one without numbers is left out."""
    return "".join(f"{line}\n" for family in families for line in _lines(family))


def _lines(family: Family) -> Iterator[str]:
    if not family.values:
        return
    yield f"# HELP {family.name} {family.help.translate(_IN_HELP)}"
    yield f"# TYPE {family.name} {family.kind.value}"
    for value, number in family.values.items():
        label = f'{{{family.label}="{value.translate(_IN_LABEL)}"}}' if family.label else ""
        yield f"{family.name}{label} {number:.17g}"
