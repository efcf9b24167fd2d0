"""Who talks to whom: recorded calls summed up by pair of parties, batch by batch, and as text."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from meshwarden.kernel import EXTERNAL, UNKNOWN

_KEYS: Final = ["source", "destination"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """All calls from one party to another.

    Attributes:
        source: SPIFFE ID, `external:<host>` or `unknown`.
        destination: as `source`.
        calls: how many, refused ones included.
        refused: how many policy refused.
        mutual_tls: how many of the allowed ones were under mutual TLS.
        measured: how many of the allowed ones say whether they were.
        octets: bodies or payload, both directions.
    """

    source: str
    destination: str
    calls: int
    refused: int
    mutual_tls: int
    measured: int
    octets: int

    @property
    def allowed(self) -> int:
        """How many calls were let through."""
        return self.calls - self.refused

    @property
    def is_mutual(self) -> bool:
        """Whether every allowed call that says so was under mutual TLS."""
        return self.measured > 0 and self.mutual_tls == self.measured

    def plus(self, other: "Edge") -> "Edge":
        """Return the sum of two edges of the same pair."""
        return Edge(
            source=self.source,
            destination=self.destination,
            calls=self.calls + other.calls,
            refused=self.refused + other.refused,
            mutual_tls=self.mutual_tls + other.mutual_tls,
            measured=self.measured + other.measured,
            octets=self.octets + other.octets,
        )


def sum_edges(batches: Iterable[pa.Table]) -> list[Edge]:
    """Return the edges of all calls, the busiest first."""
    edges: dict[tuple[str, str], Edge] = {}
    for batch in batches:
        for edge in _edges(batch):
            key = (edge.source, edge.destination)
            edges[key] = edges[key].plus(edge) if key in edges else edge
    return sorted(edges.values(), key=lambda edge: (-edge.calls, edge.source, edge.destination))


def short_names(edges: Sequence[Edge]) -> dict[str, str]:
    """Return a short name for each party: the last segment, where no other party has the same."""
    parties = sorted({party for edge in edges for party in (edge.source, edge.destination)})
    last = [party if party.startswith(EXTERNAL) else party.rpartition("/")[2] for party in parties]
    return {
        party: name if last.count(name) == 1 else party.removeprefix("spiffe://")
        for party, name in zip(parties, last, strict=True)
    }


def text_lines(edges: Sequence[Edge]) -> list[str]:
    """Return one line for each edge, by source; names are as strangers wrote them."""
    names = short_names(edges)
    width = max((len(name) for name in names.values()), default=0)
    lines: list[str] = []
    for edge in sorted(edges, key=lambda edge: (names[edge.source], -edge.calls)):
        arrow = "--x" if not edge.allowed else "-->" if edge.is_mutual else "..>"
        lines.append(
            f"{names[edge.source]:<{width}} {arrow} {names[edge.destination]:<{width}}"
            f"  {edge_label(edge)}"
        )
    return lines


def edge_label(edge: Edge) -> str:
    """Return what an edge says about itself.

    >>> edge_label(Edge(source="a", destination="b", calls=1200, refused=3, mutual_tls=1197,
    ...                 measured=1197, octets=0))
    '1,200 calls, 3 refused, mTLS'
    """
    parts = [f"{edge.calls:,} call" + ("" if edge.calls == 1 else "s")]
    if edge.refused:
        parts.append(f"{edge.refused:,} refused" if edge.allowed else "all refused")
    if edge.allowed and edge.is_mutual:
        parts.append("mTLS")
    return ", ".join(parts)


def render_dot(edges: Sequence[Edge]) -> str:
    """Return the graph for Graphviz."""
    names = short_names(edges)
    lines = ["digraph calls {", '  rankdir=LR; node [shape=box, style=rounded, fontname="sans"];']
    for party, name in names.items():
        style = ", style=dashed" if party == UNKNOWN or party.startswith(EXTERNAL) else ""
        lines.append(f"  {_quoted(party)} [label={_quoted(name)}{style}];")
    for edge in edges:
        colour = "forestgreen" if edge.is_mutual else "goldenrod"
        style = f"color={colour}" if edge.allowed else "color=red, style=dashed"
        lines.append(
            f"  {_quoted(edge.source)} -> {_quoted(edge.destination)}"
            f" [label={_quoted(edge_label(edge))}, {style}];"
        )
    return "\n".join([*lines, "}"])


def _edges(batch: pa.Table) -> list[Edge]:
    allowed = pc.invert(batch["denied"])
    octets = pc.add(
        pc.fill_null(batch["request_bytes"], 0), pc.fill_null(batch["response_bytes"], 0)
    )
    counted = pa.table(
        {
            "source": batch["source"].cast(pa.string()),
            "destination": batch["destination"].cast(pa.string()),
            "refused": batch["denied"].cast(pa.int64()),
            "mutual_tls": pc.and_(allowed, pc.fill_null(batch["mtls"], False)).cast(pa.int64()),
            "measured": pc.and_(allowed, pc.is_valid(batch["mtls"])).cast(pa.int64()),
            "octets": octets,
        }
    )
    sums = ["refused", "mutual_tls", "measured", "octets"]
    grouped = counted.group_by(_KEYS).aggregate([([], "count_all"), *((n, "sum") for n in sums)])
    return [
        Edge(
            source=row["source"],
            destination=row["destination"],
            calls=row["count_all"],
            **{name: row[f"{name}_sum"] for name in sums},
        )
        for row in grouped.to_pylist()
    ]


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ")
    return f'"{escaped}"'
