"""The graph of who talks to whom as one SVG: no script, no outside resource, every name escaped."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from html import escape
from itertools import pairwise
from typing import Final

from meshwarden.control.recording.graph import Edge, edge_label, short_names
from meshwarden.control.recording.graph_layout import Layout, lay_out
from meshwarden.kernel import EXTERNAL, UNKNOWN

_ROW: Final = 92
_GAP: Final = 210
_MARGIN: Final = 36
_NODE_HEIGHT: Final = 46
_CHARACTER: Final = 7.4
_LABEL_CHARACTER: Final = 5.9
_LEGEND: Final = 44
_LOOP: Final = 50  # nearer ends than this are those of a loop
_MUTUAL, _CLEAR, _REFUSED = "#1a7f4b", "#b7791f", "#c53030"

Point = tuple[float, float]
Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Page:
    """Where everything stands, in pixels."""

    layout: Layout
    names: dict[str, str]
    left: list[float]
    widths: list[float]
    height: float
    taken: list[Box] = field(default_factory=list)

    def width(self) -> float:
        return self.left[-1] + self.widths[-1] + _MARGIN

    def y(self, row: float) -> float:
        return _MARGIN + _NODE_HEIGHT / 2 + row * _ROW

    def box(self, node: str) -> Box:
        column = self.layout.layer[node]
        middle = self.y(self.layout.row[node])
        left, right = self.left[column], self.left[column] + self.widths[column]
        return left, middle - _NODE_HEIGHT / 2, right, middle + _NODE_HEIGHT / 2


def render_svg(edges: Sequence[Edge]) -> str:
    """Return the picture of `edges`."""
    page = _page(edges)
    drawn = [part for edge in reversed(edges) for part in _edge(page, edge)]
    lines = [part for part in drawn if part.startswith("<path")]
    labels = [part for part in drawn if not part.startswith("<path")]
    nodes = [_node(page, party) for party in page.names]
    width, height = max(page.width(), 620), page.height + _LEGEND
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}"'
        f' width="{width:.0f}" height="{height:.0f}" font-family="system-ui, sans-serif">'
        "<title>Who talks to whom</title>"
        f'<rect width="100%" height="100%" fill="#ffffff"/>{_markers()}'
    )
    return "\n".join([head, *lines, *nodes, *labels, _legend(page.height), "</svg>"]) + "\n"


def _page(edges: Sequence[Edge]) -> _Page:
    names = short_names(edges)
    layout = lay_out(list(names), [(edge.source, edge.destination) for edge in edges])
    columns = max(layout.layer.values(), default=0) + 1
    widths = [110.0] * columns
    for node, name in names.items():
        wanted = 36 + len(_cut(name)) * _CHARACTER
        widths[layout.layer[node]] = max(widths[layout.layer[node]], wanted)
    left = [_MARGIN + sum(widths[:i]) + i * _GAP for i in range(columns)]
    places = [*layout.row.values(), *(row for bend in layout.bends.values() for _, row in bend)]
    height = 2 * _MARGIN + _NODE_HEIGHT + max(places, default=0) * _ROW
    page = _Page(layout=layout, names=names, left=left, widths=widths, height=height)
    page.taken.extend(page.box(node) for node in names)
    return page


def _node(page: _Page, party: str) -> str:
    left, top, right, bottom = page.box(party)
    middle = (left + right) / 2
    outside = party == UNKNOWN or party.startswith(EXTERNAL)
    style = (
        'fill="#f7fafc" stroke="#718096" stroke-dasharray="5 4"'
        if outside
        else 'fill="#ebf4ff" stroke="#2b6cb0"'
    )
    below = party.removeprefix("spiffe://").partition("/")[0]
    if outside:
        below = "no proven identity" if party == UNKNOWN else "outside"
    name = page.names[party].removeprefix(EXTERNAL)
    return (
        f'<g><title>{escape(party)}</title><rect x="{left:.1f}" y="{top:.1f}" rx="9"'
        f' width="{right - left:.1f}" height="{bottom - top:.1f}" stroke-width="1.6" {style}/>'
        f'<text x="{middle:.1f}" y="{top + 20:.1f}" text-anchor="middle" font-size="13"'
        f' font-weight="600" fill="#1a202c">{escape(_cut(name))}</text>'
        f'<text x="{middle:.1f}" y="{top + 36:.1f}" text-anchor="middle" font-size="10"'
        f' fill="#4a5568">{escape(_cut(below))}</text></g>'
    )


def _edge(page: _Page, edge: Edge) -> Iterator[str]:
    """Draw what was allowed, and beside it, dashed, what was refused."""
    both = bool(edge.allowed and edge.refused)
    title = escape(f"{edge.source} to {edge.destination}: {edge_label(edge)}")
    kinds = []
    if edge.allowed:
        kinds.append(("mutual", _MUTUAL, "") if edge.is_mutual else ("clear", _CLEAR, ""))
    if edge.refused:
        kinds.append(("refused", _REFUSED, ' stroke-dasharray="6 5"'))
    for index, (kind, colour, dash) in enumerate(kinds):
        shift = (index * 2 - 1) * 4.0 if both else 0.0
        points = _points(page, edge, shift)
        count = edge.refused if kind == "refused" else edge.allowed
        width = 1.4 + min(2.6, len(str(count)) * 0.5)
        yield (
            f'<path d="{_curve(points)}" fill="none" stroke="{colour}" stroke-width="{width:.1f}"'
            f'{dash} marker-end="url(#{kind})"><title>{title}</title></path>'
        )
    yield _label(page, edge, _points(page, edge, 0.0))


def _points(page: _Page, edge: Edge, shift: float) -> list[Point]:
    """Return the points that an edge runs through, moved down by `shift`."""
    source, target = page.box(edge.source), page.box(edge.destination)
    start, end = (source[1] + source[3]) / 2 + shift, (target[1] + target[3]) / 2 + shift
    if edge.source == edge.destination:
        middle, top = (source[0] + source[2]) / 2, source[1]
        return [(middle - 22 + shift, top), (middle + 22 + shift, top - 8)]
    forward = page.layout.layer[edge.source] < page.layout.layer[edge.destination]
    if not forward:  # keeps clear of the edge in the other direction
        start, end = start + 12, end + 12
    points = [(source[2] if forward else source[0], start)]
    for column, row in page.layout.bends.get((edge.source, edge.destination), ()):
        left, right = page.left[column], page.left[column] + page.widths[column]
        y = page.y(row) + shift + (0 if forward else 12)
        points += [(left, y), (right, y)] if forward else [(right, y), (left, y)]
    return [*points, (target[0] - 9 if forward else target[2] + 9, end)]


def _curve(points: Sequence[Point]) -> str:
    """Return a smooth path that leaves and enters every point horizontally; a loop goes above."""
    if _is_loop(points):
        (x, y), (to_x, to_y) = points
        bow = f"{x - 14:.1f},{y - 34:.1f} {to_x + 14:.1f},{y - 34:.1f}"
        return f"M{x:.1f},{y:.1f} C{bow} {to_x:.1f},{to_y:.1f}"
    path = [f"M{points[0][0]:.1f},{points[0][1]:.1f}"]
    for (x, y), (to_x, to_y) in pairwise(points):
        half = (to_x - x) / 2
        path.append(f"C{x + half:.1f},{y:.1f} {to_x - half:.1f},{to_y:.1f} {to_x:.1f},{to_y:.1f}")
    return " ".join(path)


def _label(page: _Page, edge: Edge, points: Sequence[Point]) -> str:
    """Write the label on the edge, where it covers no node and no other label."""
    text = edge_label(edge)
    half = len(text) * _LABEL_CHARACTER / 2 + 4
    spots = list(_spots(points))
    boxes = [(x - half, y - 10, x + half, y + 8) for x, y in spots]
    free = [i for i, box in enumerate(boxes) if not any(_overlap(box, t) for t in page.taken)]
    chosen = free[0] if free else 0
    page.taken.append(boxes[chosen])
    x, y = spots[chosen]
    colour = _REFUSED if not edge.allowed else "#2d3748"
    return (
        f'<rect x="{x - half:.1f}" y="{y - 9:.1f}" width="{2 * half:.1f}" height="17" rx="4"'
        f' fill="#ffffff" fill-opacity="0.9"/><text x="{x:.1f}" y="{y + 3.5:.1f}"'
        f' text-anchor="middle" font-size="11" fill="{colour}">{escape(text)}</text>'
    )


def _is_loop(points: Sequence[Point]) -> bool:
    return len(points) == 2 and 0 < points[1][0] - points[0][0] < _LOOP


def _spots(points: Sequence[Point]) -> Iterator[Point]:
    """Yield places for a label on the curve: the middle of its first gap, then further away."""
    if _is_loop(points):
        yield (points[0][0] + points[1][0]) / 2, points[0][1] - 30
    pairs = list(pairwise(points))
    for share in (0.5, 0.4, 0.6, 0.3, 0.7):
        for (x, y), (to_x, to_y) in pairs[::2]:
            eased = share * share * (3 - 2 * share)
            yield x + (to_x - x) * share, y + (to_y - y) * eased


def _overlap(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _markers() -> str:
    marker = (
        '<marker id="{0}" viewBox="0 0 10 10" refX="3" refY="5" markerWidth="11" markerHeight="11"'
        ' markerUnits="userSpaceOnUse" orient="auto"><path d="M0,0 L10,5 L0,10 z" fill="{1}"/>'
        "</marker>"
    )
    kinds = (("mutual", _MUTUAL), ("clear", _CLEAR), ("refused", _REFUSED))
    return "<defs>" + "".join(marker.format(name, colour) for name, colour in kinds) + "</defs>"


def _legend(top: float) -> str:
    kinds = (
        (_MUTUAL, "", "allowed, mutual TLS"),
        (_CLEAR, "", "allowed, not mutual TLS"),
        (_REFUSED, ' stroke-dasharray="6 5"', "refused"),
    )
    parts: list[str] = []
    for index, (colour, dash, text) in enumerate(kinds):
        x, y = _MARGIN + index * 190, top + 16
        parts.append(
            f'<path d="M{x},{y:.1f} h26" stroke="{colour}" stroke-width="2.4"{dash}/>'
            f'<text x="{x + 34}" y="{y + 4:.1f}" font-size="11" fill="#4a5568">{text}</text>'
        )
    return "".join(parts)


def _cut(name: str) -> str:
    return name if len(name) <= 40 else f"{name[:19]}…{name[-20:]}"
