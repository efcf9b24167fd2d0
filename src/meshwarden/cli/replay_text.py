"""What became of stolen tokens, as `meshwarden demo` prints it."""

from collections.abc import Iterator, Sequence
from typing import Any

from meshwarden.cli.calls_text import rfc3339
from meshwarden.lab.agreement import party_name
from meshwarden.lab.replay import Replay


def replay_object(replay: Replay) -> dict[str, Any]:
    """Return one entry of `replays`."""
    return {
        "destination": replay.destination,
        "method": replay.method,
        "route": replay.route,
        "rule": replay.rule,
        "bound": replay.bound,
        "tried": replay.tried,
        "refused": replay.refused,
        "found": None if replay.found is None else rfc3339(replay.found),
        "found_after_ms": replay.found_after_ms,
        "sentence": replay.sentence,
    }


def replay_lines(replays: Sequence[Replay]) -> Iterator[str]:
    """Yield one line for each stolen token."""
    for one in replays:
        where = f"{one.method} {one.route} of {party_name(one.destination)}"
        binds = "binds tokens" if one.bound else "binds none"
        outcome = f"{one.refused} of {one.tried} refused"
        after = one.found_after_ms
        found = "NOT FOUND" if after is None else f"found after {after:,.0f} ms"
        yield f"  replayed      {where} ({one.rule} {binds}): {outcome}, {found}"
