"""`meshwarden incident show`: one incident with its record and what its suspect reached."""

import json as jsonlib
from typing import Any

from cyclopts import App

from meshwarden.cli.calls_text import printable
from meshwarden.cli.identity_mesh import HERE, Json, State, ask
from meshwarden.cli.incident_shared import code_of, lines_of

app = App(
    name="show",
    help="One incident: timeline, steps, what its suspect reached.",
    help_epilogue="Example: meshwarden incident show 20260302-100812-09a93e",
    help_format="plaintext",
    result_action="return_value",
)


@app.default
def show(incident: str, /, *, state: State = HERE, json: Json = False) -> int:
    """Show one incident; exit code 1 while it is not over.

    Args:
        incident: its id, see `incident list`.
        state: state directory of the running mesh.
        json: print one JSON object.
    """
    found = ask(state, "GET", f"/v1/incidents/{incident}")
    print(jsonlib.dumps(found) if json else "\n".join(_lines(found)))
    return code_of(found)


def _lines(found: dict[str, Any]) -> list[str]:
    lines = [*lines_of(found), "record, each entry chained to the one before:"]
    lines += [_entry(entry) for entry in found["record"]]
    lines.append("reached since the first sign:" if found["touched"] else "reached nobody since")
    for one in found["touched"]:
        what = " ".join(part for part in (one["method"], one["route"]) if part)
        lines.append(
            f"  {printable(one['destination'])} {printable(what)}: {one['calls']} calls,"
            f" {one['denied']} refused, {one['sent_bytes']} octets sent"
        )
    return lines


def _entry(entry: dict[str, Any]) -> str:
    data = entry["data"]
    said = data.get("outcome") or data.get("reason") or data.get("text") or data.get("verdict", "")
    action = data.get("action", "")
    text = f"  {entry['time'][:23]}Z  {entry['kind']:10} {entry['actor']}  {action}  {said}"
    return printable(text.rstrip())
