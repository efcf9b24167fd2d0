"""What the subcommands of `meshwarden incident` share: who asks, and how an incident is written."""

import getpass
import json as jsonlib
from typing import Annotated, Any, Final

from cyclopts import Parameter

from meshwarden.cli.calls_text import counted, printable

Who = Annotated[str | None, Parameter(name="--as")]
OVER: Final = {"recovered", "closed", "false-alarm"}


def name_of(who: str | None) -> str:
    """Return who asks: as given, or the account that is logged in."""
    return who or getpass.getuser()


def code_of(incident: dict[str, Any]) -> int:
    """Return 0 where an incident is over, else 1."""
    return 0 if incident["state"] in OVER else 1


def tell(incident: dict[str, Any], *, json: bool) -> None:
    """Print one incident."""
    print(jsonlib.dumps(incident) if json else "\n".join(lines_of(incident)))


def line_of(incident: dict[str, Any]) -> str:
    """Return one incident as one line."""
    return (
        f"{incident['id']}  {incident['state']:11}  {printable(incident['service']):16}"
        f"  p = {incident['probability']:.3f}  {counted(incident['findings'], 'finding')}"
        f"  {incident['playbook'] or '-'}"
    )


def lines_of(incident: dict[str, Any]) -> list[str]:
    """Return one incident with its steps."""
    lines = [line_of(incident)]
    times = ("opened", "first_call", "contained", "verified", "recovered", "release_at")
    lines += [f"  {name:11} {incident[name]}" for name in times if incident[name]]
    for step in incident["steps"]:
        by = f" (approved by {', '.join(step['approvers'])})" if step["approvers"] else ""
        said = printable(step["outcome"])
        lines.append(f"  {step['action']:16} {step['state']:9}{by} {said}".rstrip())
    lines += [f"  {printable(sentence)}" for sentence in incident["sentences"]]
    if incident["evidence"]:
        lines.append(f"  evidence    {incident['evidence']['archive']}")
    return lines
