"""`meshwarden identity list`: every certificate that has not ended, and what ends when."""

import contextlib
import json as jsonlib
import sys
import threading
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Final

from cyclopts import App, Parameter
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from meshwarden.cli.identity_mesh import HERE, Json, State, ask
from meshwarden.kernel import ConfigError, DependencyError

app = App(
    name="list",
    help="List the certificates of a running mesh that have not ended, the next to end first.",
    help_epilogue="Example: meshwarden identity list --watch",
    help_format="plaintext",
    result_action="return_value",
)
LOOK_S: Final = 1.0
_STYLES: Final = {"revoked": "red", "current": "green", "superseded": "dim"}


@app.default
def list_(
    *,
    state: State = HERE,
    watch: Annotated[bool, Parameter(negative="")] = False,
    json: Json = False,
) -> int:
    """List certificates.

    Args:
        state: state directory of the running mesh.
        watch: show them live until Ctrl-C, a line or screen each second.
        json: print one JSON object; with --watch one a second.
    """
    if not watch:
        found = ask(state, "GET", "/v1/identity")
        print(jsonlib.dumps(found)) if json else _console().print(_table(found))
        return 0
    with contextlib.suppress(KeyboardInterrupt):
        _watch(state, json=json)
    return 0


def _watch(state: Path, *, json: bool) -> None:
    found = ask(state, "GET", "/v1/identity")
    pause = threading.Event()
    if json:
        while True:
            print(jsonlib.dumps(found), flush=True)
            found = _look_again(state, pause)
    with Live(_table(found), console=_console(), auto_refresh=False) as live:
        while True:
            pause.wait(LOOK_S)
            try:
                live.update(_table(ask(state, "GET", "/v1/identity")), refresh=True)
            except (ConfigError, DependencyError) as error:  # it may come back
                live.update(Text(str(error), style="red"), refresh=True)


def _look_again(state: Path, pause: threading.Event) -> dict[str, Any]:
    """Return what there is a second later, or as soon as the control plane is back."""
    while True:
        pause.wait(LOOK_S)
        try:
            return ask(state, "GET", "/v1/identity")
        except (ConfigError, DependencyError) as error:
            print(error, file=sys.stderr, flush=True)


def _console() -> Console:
    width = None if sys.stdout.isatty() else 140
    return Console(file=sys.stdout, width=width, highlight=False)


def _table(found: dict[str, Any]) -> Group:
    now = datetime.fromisoformat(found["time"])
    table = Table(show_edge=False, pad_edge=False)
    for column in ("held by", "identity", "sha256", "serial", "status", "ends in", "renewed in"):
        table.add_column(column, overflow="fold" if column == "identity" else "ellipsis")
    for one in sorted(found["certificates"], key=lambda one: str(one["not_after"])):
        renews = one["renews_in_s"]
        table.add_row(
            one["instance"],
            one["identity"],
            one["sha256"][:16],
            one["serial"][:16],
            one["status"],
            _span((datetime.fromisoformat(one["not_after"]) - now).total_seconds()),
            "-" if renews is None or one["instance"] in found["withheld"] else _span(renews),
            style=_STYLES.get(one["status"], ""),
        )
    return Group(table, *map(Text, _authorities(found, now)))


def _authorities(found: dict[str, Any], now: datetime) -> list[str]:
    lines = [""]
    for one in found["authorities"]:
        end = datetime.fromisoformat(one["not_after"])
        lines.append(
            f"authority {one['issuer'][:16]}  {one['role']:<8}  ends in"
            f" {_span((end - now).total_seconds())}  under {one['root']}"
        )
    if waiting := found["rotation"]["waiting_for"]:
        lines.append(f"rotation waits for the sidecars of {', '.join(waiting)}")
    if found["withheld"]:
        lines.append(f"without a certificate that counts: {', '.join(found['withheld'])}")
    return lines


def _span(seconds: float) -> str:
    """Return a time span to read at a glance.

    >>> _span(59), _span(3599), _span(7260), _span(400_000), _span(-1)
    ('59 s', '59 min 59 s', '2 h 1 min', '4 d 15 h', 'over')
    """
    if seconds < 0:
        return "over"
    whole = int(seconds)
    for unit, size, below, part in (("d", 86400, "h", 3600), ("h", 3600, "min", 60)):
        if whole >= size:
            return f"{whole // size} {unit} {whole % size // part} {below}"
    return f"{whole // 60} min {whole % 60} s" if whole >= 60 else f"{whole} s"
