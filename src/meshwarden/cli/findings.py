"""`meshwarden findings`: what was found: the last ones, and where else they go."""

import asyncio
import json as jsonlib
import sys
from pathlib import Path
from typing import Annotated, Final

from cyclopts import App, Parameter

from meshwarden.adapters.storage.findings import FileFindingStore
from meshwarden.cli.calls_text import counted
from meshwarden.cli.exporting import STORE, export_once, exporting
from meshwarden.cli.findings_text import finding_line, finding_object
from meshwarden.cli.outputs import Outputs
from meshwarden.kernel import ConfigError, Finding, InputError, Severity

app = App(
    name="findings",
    help="What was found: list it, export it.",
    help_epilogue="Example: meshwarden findings list --state .meshwarden",
    help_format="plaintext",
    result_action="return_value",
)

STATE: Final = Path(".meshwarden")
_LEAST: Final = tuple(Severity)


@app.command(
    name="list",
    help_epilogue="Example: meshwarden findings list --state .meshwarden --code behaviour",
)
def list_findings(
    *,
    state: Path = STATE,
    code: str = "",
    at_least: Severity = Severity.LOW,
    limit: int = 100,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Print the newest findings, oldest first; exit code 1 where there are any.

    Args:
        state: state directory of `meshwarden up`, `serve` or `demo`.
        code: only findings whose code begins so (behaviour, dataplane, record, ...).
        at_least: only from this severity up.
        limit: at most so many.
        json: print one JSON object.
    """
    if not 1 <= limit <= 100_000:
        raise ConfigError("findings.limit", "--limit must be from 1 to 100000")
    wanted = [finding for finding in _stored(state) if _matches(finding, code, at_least)][-limit:]
    if json:
        print(jsonlib.dumps({"findings": [finding_object(finding) for finding in wanted]}))
    else:
        for finding in wanted:
            print(finding_line(finding))
        print(counted(len(wanted), "finding"))
    return 1 if wanted else 0


@app.command(
    name="export",
    help_epilogue="Example: meshwarden findings export --ocsf findings.ocsf.jsonl --follow",
)
def export_findings(
    *,
    outputs: Outputs | None = None,
    state: Path = STATE,
    follow: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Send what was found, and was not sent there before, as OCSF Detection Findings.

    Each finding is delivered at least once; where a receiver is down, the next call goes on from
    there.

    Args:
        outputs: where they go.
        state: state directory of `meshwarden up`, `serve` or `demo`.
        follow: go on with findings as they come, until Ctrl-C.
    """
    outputs = outputs or Outputs()
    if not outputs.any:
        raise ConfigError(
            "export.nowhere", "findings go nowhere", hint="--ocsf, --webhook or --syslog"
        )
    _check(state)
    asyncio.run(_export(outputs, state.absolute(), follow=follow))
    return 0


async def _export(outputs: Outputs, state: Path, *, follow: bool) -> None:
    if follow:
        async with exporting(outputs, state):
            await asyncio.Event().wait()
    for name, count in (await export_once(outputs, state)).items():
        print(f"{counted(count, 'finding')} to {name}", file=sys.stderr)


def _stored(state: Path) -> list[Finding]:
    _check(state)
    return list(FileFindingStore(state / STORE).load_findings(limit=1_000_000))


def _check(state: Path) -> None:
    if not state.is_dir():
        raise InputError(
            "findings.missing", "there is no such state directory", where=str(state),
            hint="is this the --state of a meshwarden up, serve or demo?",
        )  # fmt: skip


def _matches(finding: Finding, code: str, at_least: Severity) -> bool:
    serious = _LEAST.index(finding.severity) >= _LEAST.index(at_least)
    return serious and (not code or finding.code == code or finding.code.startswith(f"{code}."))
