"""`meshwarden policy explain`: who denied, which rule came nearest, what would allow it."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from meshwarden.adapters.envoy.accesslog_entry import MAX_LINE_BYTES
from meshwarden.cli.policy_shared import (
    Json,
    Question,
    asked_of,
    claims_of,
    identity_of,
    print_json,
    usage_error,
)
from meshwarden.control.traffic.asking import Recorded, find_calls, read_line
from meshwarden.control.traffic.learning import Existing, load_existing
from meshwarden.control.traffic.proposing import propose_patch
from meshwarden.policy import Connection, HttpRequest, decide
from meshwarden.policy import explain as explain_decision
from meshwarden.policy.match import Claims
from meshwarden.policy.traffic.denial import denied_by
from meshwarden.policy.traffic.render import party_text


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Asked:
    """What to explain: five flags, or a recorded request, or a line of a log.

    Attributes:
        caller: who calls: a service's name or a SPIFFE ID; with --line: whose sidecar wrote it.
        callee: who is called; with --line: whose sidecar wrote it.
        method: HTTP method; with --path.
        path: path as sent, with or without a query; with --method.
        tcp: port of a connection, instead of --method and --path.
        claims: claims of the caller's verified transaction token, a JSON object.
        request: a transaction in --calls.
        calls: recorded calls: Parquet, CSV, gzipped CSV, or a folder of parts.
        line: a JSON line of a sidecar's access log, or of `calls list --json`; - reads stdin.
    """

    caller: Annotated[str | None, Parameter(name="--from")] = None
    callee: Annotated[str | None, Parameter(name="--to")] = None
    method: str | None = None
    path: str | None = None
    tcp: int | None = None
    claims: str | None = None
    request: str | None = None
    calls: Annotated[list[Path] | None, Parameter(name="--calls")] = None
    line: Annotated[str | None, Parameter(allow_leading_hyphen=True)] = None


def explain(
    file: Path,
    asked: Asked | None = None,
    *,
    patch: Annotated[bool, Parameter(negative="")] = False,
    json: Json = False,
) -> int:
    """Explain an answer: who denied, the rule that decided or came nearest, the smallest change.

    Exit 0 where the policy allows it, 1 where not.

    Args:
        file: the policy.
        asked: what is asked.
        patch: print the change as a unified diff of the policy file, for `git apply` or `patch`.
        json: print one JSON object: allowed, rule, fix, explanation, denied_by, patch.
    """
    given = asked or Asked()
    existing = load_existing(file)
    recorded = _recorded(existing, given)
    if recorded is None:
        question = _question(existing, given)
        return _explain_all(existing, [(question, None)], given, patch=patch, json=json)
    return _explain_all(
        existing, [(each.asked, each) for each in recorded], given, patch=patch, json=json
    )


def _recorded(existing: Existing, given: Asked) -> list[Recorded] | None:
    """Return the recorded calls that are asked about; None where five flags ask."""
    if given.line is not None:
        line = sys.stdin.read(MAX_LINE_BYTES + 1) if given.line == "-" else given.line
        named = given.callee or given.caller
        owner = None if named is None else identity_of(existing.policy, named, "--to")
        return [read_line(line, existing.policy, owner)]
    if given.request is not None:
        if not given.calls:
            raise usage_error("--request", "name the recorded calls with --calls")
        return find_calls(given.calls, given.request)
    return None


def _question(existing: Existing, given: Asked) -> HttpRequest | Connection:
    if given.caller is None or given.callee is None:
        raise usage_error("arguments", "ask with --from and --to, with --request, or with --line")
    question = Question(
        caller=given.caller,
        callee=given.callee,
        method=given.method,
        path=given.path,
        tcp=given.tcp,
    )
    return asked_of(existing.policy, question)


def _explain_all(
    existing: Existing,
    questions: list[tuple[HttpRequest | Connection | None, Recorded | None]],
    given: Asked,
    *,
    patch: bool,
    json: bool,
) -> int:
    claims = claims_of(given.claims)
    answers = [_answer(existing, *each, claims, patch=patch) for each in questions]
    if json:
        print_json(answers[0] if len(answers) == 1 else {"calls": answers})
    elif patch:
        patches = list(dict.fromkeys(answer["patch"] for answer in answers if answer["patch"]))
        print("".join(patches) or "no patch: no change of this file would allow it", end="")
        print("" if patches else "\n", end="")
    else:
        print("\n\n".join("\n".join(_lines(answer)) for answer in answers))
    return 0 if all(answer["allowed"] for answer in answers) else 1


def _answer(
    existing: Existing,
    asked: HttpRequest | Connection | None,
    recorded: Recorded | None,
    claims: Claims | None,
    *,
    patch: bool,
) -> dict[str, Any]:
    policy = existing.policy
    who = None if recorded is None else denied_by(recorded.rule, denied=recorded.denied)
    if asked is None:
        source = party_text(policy, recorded.source) if recorded else "?"
        destination = party_text(policy, recorded.destination) if recorded else "?"
        lines: tuple[str, ...] = (
            f"{source} to {destination}: no policy is asked about such calls",
        )
        refused = recorded is not None and recorded.denied
        return _object(allowed=not refused, explanation=lines, denied_by=who)
    decision = decide(policy, asked, claims)
    found = propose_patch(existing, asked, claims) if decision.fix else None
    return _object(
        allowed=decision.allowed,
        rule=decision.rule,
        fix=decision.fix,
        explanation=explain_decision(policy, asked, claims),
        denied_by=who,
        patch=found if patch else None,
        patchable=found is not None,
    )


def _object(**values: Any) -> dict[str, Any]:  # noqa: ANN401  # becomes JSON
    start = {"rule": None, "fix": None, "denied_by": None, "patch": None, "patchable": False}
    return start | values


def _lines(answer: dict[str, Any]) -> list[str]:
    lines = [f"denied by: {answer['denied_by']}"] if answer["denied_by"] else []
    lines += answer["explanation"]
    if answer["patchable"]:
        lines.append("to propose it: the same command with --patch")
    return lines
