"""How sure a map is that was drawn from logs alone: shares that a person can act on."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from meshwarden.control.recording.graph import Edge
from meshwarden.control.sources.report import SourceReport
from meshwarden.kernel import EXTERNAL, UNKNOWN

_DAY_NS: Final = 86_400_000_000_000
_HOUR_NS: Final = 3_600_000_000_000
_FEW: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Certainty:
    """What speaks for and against a map. Shares are 0..1 of calls, or of records for `readable`.

    Attributes:
        span_ns: from the first call to the last, without gaps of more than a week.
        proven: both sides proved who they are; the names are certain.
        named: both sides have a name, proven or not.
        readable: records that could be read.
        edges: pairs of parties.
        seldom: pairs seen three times or less: the map may lack others like them.
        unknown_parties: pairs with a side that nobody could name.
        external: pairs with a side outside.
    """

    span_ns: int
    proven: float
    named: float
    readable: float
    edges: int
    seldom: int
    unknown_parties: int
    external: int

    def lines(self) -> list[str]:
        """Return one line for each ground, with what would make it better where it is weak."""
        lines = [
            f"time        {_span(self.span_ns)}" + _unless(
                self.span_ns >= 7 * _DAY_NS, "less than a week: weekly and monthly jobs are missing"
            ),
            f"proven      {self.proven:.1%} of calls carry identities that mutual TLS proved"
            + _unless(self.proven >= 0.5, "log the peer's URI SAN to know the caller for sure"),
            f"named       {self.named:.1%} of calls name both sides"
            + _unless(self.named >= 0.9, "--owner, or logs of both sides, name more"),
            f"readable    {self.readable:.1%} of records",
            f"edges       {self.edges:,}, of which {self.seldom:,} were seen {_FEW} times or less",
        ]  # fmt: skip
        if self.unknown_parties or self.external:
            lines.append(
                f"open ends   {self.unknown_parties:,} edges with an unknown side,"
                f" {self.external:,} with one outside"
            )
        return lines

    def to_object(self) -> dict[str, Any]:
        """Return it for JSON; the span in nanoseconds."""
        return asdict(self)


def certainty_of(report: SourceReport, edges: Sequence[Edge], *, span_ns: int) -> Certainty:
    """Return how sure the map of `edges` is, drawn in `span_ns` from what `report` counts."""
    calls, records = max(1, report.calls), max(1, report.records)
    return Certainty(
        span_ns=span_ns,
        proven=report.proven / calls,
        named=1 - report.unnamed / calls,
        readable=1 - report.aside / records,
        edges=len(edges),
        seldom=sum(edge.calls <= _FEW for edge in edges),
        unknown_parties=sum(UNKNOWN in (edge.source, edge.destination) for edge in edges),
        external=sum(
            edge.source.startswith(EXTERNAL) or edge.destination.startswith(EXTERNAL)
            for edge in edges
        ),
    )


def _span(nanoseconds: int) -> str:
    if nanoseconds >= 2 * _DAY_NS:
        return f"{nanoseconds / _DAY_NS:.1f} days"
    if nanoseconds >= 2 * _HOUR_NS:
        return f"{nanoseconds / _HOUR_NS:.1f} hours"
    return f"{nanoseconds / 60e9:.1f} minutes"


def _unless(enough: bool, advice: str) -> str:
    return "" if enough else f" ({advice})"
