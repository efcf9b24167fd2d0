"""A policy's difference as text for a terminal, and as Markdown for a pull request.

In Markdown, names and paths go into code spans in which nothing that a policy says can end the
span or a table's cell.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import Final

from meshwarden.policy.model import TokenRequirement
from meshwarden.policy.reach.change import Change, ChangeKind
from meshwarden.policy.reach.diff import PolicyDiff

MAX_ROWS: Final = 200  # of one table; a pull request shows no more


def render_diff(diff: PolicyDiff) -> str:
    """Return the difference as text: what is gained, then what is lost; one line each."""
    if not diff.changes:
        return "no difference: both policies allow the same"
    lines: list[str] = []
    for changes, title in ((diff.gained, "newly allowed"), (diff.lost, "no longer allowed")):
        if changes:
            lines.append(f"{title}: {len(changes)}")
            lines += [line for change in changes for line in _lines(diff, change)]
    return "\n".join(lines)


def _lines(diff: PolicyDiff, change: Change) -> Iterator[str]:
    sign = "+" if change.gained else "-"
    yield f"  {sign} {parties(diff.name_of, change)}: {reach_text(change)}  [{change.rule}]"
    if change.example_path:
        yield f"      for example {example_text(change)}"


def render_diff_markdown(diff: PolicyDiff) -> str:
    """Return the difference as a section of a pull request."""
    lines = ["### Access policy: who may reach what", ""]
    if not diff.changes:
        return "\n".join([*lines, "No difference: both policies allow the same.", ""])
    services = len({change.destination for change in diff.changes})
    lines += [
        f"**{len(diff.gained)} newly allowed, {len(diff.lost)} no longer allowed**"
        f" at {services} service{'s' if services > 1 else ''}.",
        "",
    ]
    for changes, title in ((diff.gained, "Newly allowed"), (diff.lost, "No longer allowed")):
        if changes:
            lines += [f"#### {title}", "", "| caller | callee | what | example | rule |"]
            lines += ["|---|---|---|---|---|", *_rows(diff, changes)]
            hidden = len(changes) - MAX_ROWS
            lines += [f"\n… and {hidden} more"] if hidden > 0 else []
            lines.append("")
    return "\n".join(lines)


def _rows(diff: PolicyDiff, changes: Sequence[Change]) -> Iterator[str]:
    for change in changes[:MAX_ROWS]:
        source, destination = ends(diff.name_of, change)
        cells = [source, destination, reach_text(change), example_text(change), change.rule]
        yield "| " + " | ".join(code(cell) for cell in cells) + " |"


def ends(name_of: Callable[..., str], change: Change) -> tuple[str, str]:
    """Return caller and callee as an author calls them."""
    source = "anyone outside" if change.source is None else name_of(change.source)
    if change.destination is None:
        return source, f"{change.host}:{change.port}"
    return source, name_of(change.destination)


def parties(name_of: Callable[..., str], change: Change) -> str:
    """Return `caller -> callee`."""
    return " -> ".join(ends(name_of, change))


def reach_text(change: Change) -> str:
    """Return what is reached, in a few words."""
    if change.kind is ChangeKind.CONNECTIONS:
        return f"connections to port {change.port}"
    if change.kind is ChangeKind.EGRESS:
        return "the outside host"
    if change.kind is ChangeKind.EDGE:
        return "takes traffic from outside the mesh"
    methods = "any method" if change.methods is None else ", ".join(change.methods)
    if change.not_methods:
        methods += f" but {', '.join(change.not_methods)}"
    text = f"{methods} {change.paths or 'any path'}"
    if change.token is not None:
        text += f" with {token_text(change.token)}"
    if change.besides:
        text += f", besides {', '.join(change.besides)}"
    return text


def token_text(token: TokenRequirement) -> str:
    """Return what a token must say."""
    wanted = [f"scope {scope}" for scope in token.scopes]
    wanted += [f"acr {token.acr}"] if token.acr is not None else []
    wanted += ["bound to the caller"] if token.bound else []
    wanted += ["used once"] if token.once else []
    return "a token" + (f" ({', '.join(wanted)})" if wanted else "")


def example_text(change: Change) -> str:
    """Return the example request; empty where the change itself says it all."""
    if not change.example_path:
        return ""
    claims = change.example_claims
    shown = "" if claims is None else f" with claims {dict(claims)}"
    return f"{change.example_method} {change.example_path}{shown}"


def code(text: str) -> str:
    """Return `text` as a code span for a cell of a Markdown table; empty stays empty."""
    if not text:
        return ""
    flat = "".join(char if char.isprintable() else " " for char in text)
    longest = max((len(list(run)) for tick, run in groupby(flat) if tick == "`"), default=0)
    fence = "`" * (longest + 1)
    pad = " " if longest else ""
    return f"{fence}{pad}{flat.replace('|', chr(92) + '|')}{pad}{fence}"
