"""Verdicts as people give them: about whom they can name, for so many days, from now on."""

import difflib
from collections.abc import Collection
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, Final

from meshwarden.behaviour.verdict import Verdict
from meshwarden.kernel import EXTERNAL, UNKNOWN, InputError, SpiffeId

MAX_DAYS: Final = 365
_NEAR: Final = 3
_NS: Final = 1_000_000_000
_DAY_NS: Final = 86_400 * _NS


def verdict_of(
    source: str,
    *,
    destination: str | None,
    channel: str | None,
    days: int,
    reason: str,
    by: str,
    now: int,
) -> Verdict:
    """Return a verdict that holds for `days` from `now` (ns); InputError where it is none."""
    if not 1 <= days <= MAX_DAYS:
        raise InputError("behaviour.verdict", f"holds for 1 to {MAX_DAYS} days", where="days")
    try:
        return Verdict(
            source=source, destination=destination, channel=channel,
            said=now, until=now + days * _DAY_NS, reason=reason, by=by,
        )  # fmt: skip
    except ValueError as error:
        raise InputError("behaviour.verdict", str(error), where="verdict") from error


def party_of(given: str, known: Collection[str]) -> str:
    """Return whom a person means: a name in full, or the last part of one of `known`.

    A name in full may be of somebody who was not seen yet: most alarms are about something new.

    Raises:
        InputError: `behaviour.party` where nobody known is called so, or several are; `spiffe.id`.
    """
    if given in known or given == UNKNOWN or given.startswith(EXTERNAL):
        return given
    if "://" in given:
        return str(SpiffeId.parse(given))
    same = [one for one in known if one.endswith(f"/{given}")]
    if len(same) == 1:
        return same[0]
    near = ", ".join(repr(one) for one in sorted(same)[:_NEAR] or nearest(given, known))
    raise InputError(
        "behaviour.party",
        f"{given[:80]!r} names {'several' if same else 'nobody who is known'}",
        where="verdict",
        hint=f"did you mean {near}?" if near else f"a SPIFFE ID in full, or {EXTERNAL}HOST",
    )


def nearest(given: str, known: Collection[str]) -> list[str]:
    """Return up to three of `known` whose last part is written much like that of `given`."""
    last = {one: one.rpartition("/")[2] for one in sorted(known)}
    close = difflib.get_close_matches(given.rpartition("/")[2], set(last.values()))
    return [one for part in close for one in last if last[one] == part][:_NEAR]


def verdict_object(verdict: Verdict) -> dict[str, Any]:
    """Return a verdict as JSON has it; `said` is null where that is not on record."""
    said = None if verdict.said is None else _written(verdict.said)
    return asdict(verdict) | {"said": said, "until": _written(verdict.until)}


def _written(time: int) -> str:
    return datetime.fromtimestamp(time // _NS, UTC).isoformat(timespec="seconds")
