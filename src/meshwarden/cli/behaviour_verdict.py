"""`meshwarden behaviour benign` and `verdicts`: what people said is no alarm, when, how long."""

import json as jsonlib
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cyclopts import Parameter

from meshwarden.adapters.clock import SystemClock
from meshwarden.adapters.storage.baseline import load_baseline, store_baseline
from meshwarden.behaviour import Model, Verdict
from meshwarden.cli.calls_text import printable
from meshwarden.cli.identity_mesh import HERE, Json, State, ask
from meshwarden.cli.incident_shared import Who, name_of
from meshwarden.control.watching.findings import nanoseconds
from meshwarden.control.watching.verdicts import nearest, party_of, verdict_object, verdict_of

_PATH: Final = "/v1/behaviour/verdicts"


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Scope:
    """What a verdict is about.

    Attributes:
        to: only alarms towards this one.
        channel: only what this channel says, as alarms name it ("new edge").
        days: how long, 1 to 365.
    """

    to: str | None = None
    channel: str | None = None
    days: int = 30


def benign(
    source: str,
    /,
    *,
    reason: str,
    scope: Scope | None = None,
    who: Who = None,
    baseline: Path | None = None,
    state: State = HERE,
    json: Json = False,
) -> int:
    """Hold alarms about an identity back, for a while, on the record.

    Nothing is unlearned, and what is alarming is still not learned. That somebody said so is itself
    a finding, which goes where findings go; of a baseline, it is one whenever calls are scored.

    Args:
        source: whom the alarms are about: a SPIFFE ID, external:<host>, of a running mesh a
            service, or the last part of what is known. In full it may be somebody not seen yet.
        reason: why, for the record.
        scope: what exactly, and for how long.
        who: your name for the record; the account that is logged in unless given.
        baseline: a file of `behaviour learn` instead of a running mesh.
        state: state directory of the running mesh.
        json: print one JSON object.
    """
    scope = scope or Scope()
    if baseline is None:
        asked = {"source": source, "destination": scope.to, "channel": scope.channel,
                 "days": scope.days, "reason": reason, "who": name_of(who)}  # fmt: skip
        body: dict[str, object] = {k: v for k, v in asked.items() if v is not None}
        found = ask(state, "POST", _PATH, body)
    else:
        model = Model.load(load_baseline(baseline))
        known = set(model.names.save().values())
        verdict = verdict_of(
            party_of(source, known), destination=scope.to and party_of(scope.to, known),
            channel=scope.channel, days=scope.days, reason=reason,
            by=name_of(who), now=nanoseconds(SystemClock()),
        )  # fmt: skip
        model.judge(verdict)
        store_baseline(baseline, model.save())
        _say_unknown(verdict, known)
        found = verdict_object(verdict)
    print(jsonlib.dumps(found) if json else _line(found))
    return 0


def verdicts(
    *,
    baseline: Path | None = None,
    state: State = HERE,
    json: Json = False,
) -> int:
    """Show what people called benign, the newest last.

    Args:
        baseline: a file of `behaviour learn` instead of a running mesh.
        state: state directory of the running mesh.
        json: print one JSON object.
    """
    if baseline is None:
        found = ask(state, "GET", _PATH)["verdicts"]
    else:
        found = [verdict_object(one) for one in Model.load(load_baseline(baseline)).verdicts]
    if json:
        print(jsonlib.dumps({"verdicts": found}))
    else:
        print("\n".join(_line(one) for one in found) or "no verdicts")
    return 0


def _say_unknown(verdict: Verdict, known: set[str]) -> None:
    """Say who was not seen yet: that is as it should be for what is new, and not for a slip."""
    for one in (verdict.source, verdict.destination):
        if one is not None and one not in known:
            near = nearest(one, known)
            like = f"; it has seen {', '.join(near)}" if near else ""
            text = f"meshwarden: the baseline has not seen {one} yet{like}"
            print(printable(text), file=sys.stderr)


def _line(verdict: dict[str, Any]) -> str:
    towards = f" -> {verdict['destination']}" if verdict["destination"] else ""
    of = verdict["channel"] or "any alarm"
    said = verdict["said"] or "at a time that is not on record"
    text = f"{of} until {verdict['until']}: {verdict['reason']} ({verdict['by']}, {said})"
    return printable(f"{verdict['source']}{towards}  {text}")
