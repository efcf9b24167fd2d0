"""An incident's record: append-only, each entry chained to the one before by SHA-256.

The record is the incident: everything that is known about it is folded from its entries, so what a
crash interrupts is found again, and what somebody changes afterwards shows. The hash covers number,
time, kind, actor, data and the hash before, as JSON with sorted keys and no spaces.
"""

import hashlib
import hmac
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from meshwarden.kernel import VerificationError

GENESIS: Final = "0" * 64
WARDEN: Final = "warden"
"""The actor of what nobody asked for."""


class EntryKind(StrEnum):
    """What can happen in an incident."""

    OPENED = "opened"  # suspect
    FOUND = "found"  # finding, first_call, count
    PLANNED = "planned"  # playbook, steps, time_box_s
    JUDGED = "judged"  # action, rulings, waiting | stopped
    APPROVED = "approved"  # action; actor = who
    STARTED = "started"  # action
    APPLIED = "applied"  # action, outcome, undo
    VERIFIED = "verified"  # action, outcome
    FAILED = "failed"  # action, outcome
    RELEASING = "releasing"  # reason
    UNDONE = "undone"  # action, outcome
    RECOVERED = "recovered"  # outcome
    NOTED = "noted"  # text, figures: customers' success, evidence, custody
    CLOSED = "closed"  # verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One entry.

    Attributes:
        number: from 0.
        time: nanoseconds since the epoch, UTC.
        kind: what happened.
        actor: `WARDEN`, or the person who did it.
        data: what the kind carries; JSON values.
        previous: hash of the entry before; `GENESIS` before the first.
        hash: SHA-256 of all of the above, hexadecimal.
    """

    number: int
    time: int
    kind: EntryKind
    actor: str
    data: Mapping[str, Any] = field(default_factory=dict)
    previous: str
    hash: str


def append(
    before: Entry | None,
    *,
    time: int,
    kind: EntryKind,
    actor: str = WARDEN,
    data: Mapping[str, Any] | None = None,
) -> Entry:
    """Return the entry that follows `before` (None: the first one)."""
    number = 0 if before is None else before.number + 1
    previous = GENESIS if before is None else before.hash
    content = dict(data or {})
    return Entry(
        number=number,
        time=time,
        kind=kind,
        actor=actor,
        data=content,
        previous=previous,
        hash=_hash_of(number, time, kind, actor, content, previous),
    )


def verify_record(entries: Iterable[Entry]) -> int:
    """Return how many entries the chain has.

    Raises:
        VerificationError: `incident.record`, at the first entry that does not follow.
    """
    previous, count = GENESIS, 0
    for entry in entries:
        expected = _hash_of(count, entry.time, entry.kind, entry.actor, entry.data, previous)
        follows = entry.number == count and hmac.compare_digest(entry.previous, previous)
        if not follows or not hmac.compare_digest(entry.hash, expected):
            raise VerificationError(
                "incident.record",
                f"entry {count} does not follow the one before: the record was changed",
                hint="compare with a copy of the record that was kept elsewhere",
            )
        previous, count = entry.hash, count + 1
    return count


def _hash_of(
    number: int, time: int, kind: EntryKind, actor: str, data: Mapping[str, Any], previous: str
) -> str:
    content = {
        "number": number,
        "time": time,
        "kind": kind.value,
        "actor": actor,
        "data": data,
        "previous": previous,
    }
    text = json.dumps(
        content, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )
    return hashlib.sha256(text.encode()).hexdigest()
