"""When an attack began, when it was found and by what, and whether it succeeded.

Times are the clock's, in nanoseconds since the epoch; what did not happen is None. The attack's own
steps are the intruder's account; when the first of them was recorded is the record's; when it was
found is when the finding was stored; success is the target's own state.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from meshwarden.kernel import Finding
from meshwarden.lab.attacks.model import Attack
from meshwarden.lab.attacks.raid import Act, Raid

BEHAVIOUR: Final = "behaviour."
PRESENTED: Final = "tokens.presented_elsewhere"
_SLACK: Final = 1_000_000  # the record's times are cut to milliseconds


@dataclass(frozen=True, slots=True, kw_only=True)
class AttackTimeline:
    """One attack, told.

    Attributes:
        attack: which.
        started: when the intruder's process was started.
        first_malicious_call: when its first call that is in the record began.
        found: when the finding about it was raised.
        by: that finding.
        calls: how many of its steps had begun when it was found (all, where it was not).
        octets: of the bodies of those.
        succeeded: when the attack did.
        got: what the target shows.
        steps: how many steps were carried out in all.
    """

    attack: Attack
    started: int | None
    first_malicious_call: int | None
    found: int | None
    by: Finding | None
    calls: int
    octets: int
    succeeded: int | None
    got: str
    steps: int

    @property
    def found_after_ms(self) -> float | None:
        """Milliseconds from the first malicious call until it was found."""
        if self.found is None or self.first_malicious_call is None:
            return None
        return (self.found - self.first_malicious_call) / 1e6


def tell(
    raid: Raid,
    findings: Sequence[Finding],
    calls: pa.Table,
    *,
    suspect: str,
    succeeded: int | None,
    got: str,
) -> AttackTimeline:
    """Return the timeline of `raid`.

    Args:
        raid: what the intruder did.
        findings: all of the run, oldest first.
        calls: the record.
        suspect: SPIFFE ID of the compromised service.
        succeeded: when the attack did, as the target shows.
        got: what the target shows, in words.
    """
    acts = sorted(raid.acts, key=lambda act: act.at)
    by = next((f for f in findings if is_about(f, suspect, since=raid.started)), None)
    before = [act for act in acts if by is None or act.at <= by.time]
    return AttackTimeline(
        attack=raid.attack,
        started=raid.started,
        first_malicious_call=_first_recorded(acts, calls, suspect),
        found=by.time if by else None,
        by=by,
        calls=len(before),
        octets=sum(act.octets for act in before),
        succeeded=succeeded,
        got=got,
        steps=len(acts),
    )


def is_about(finding: Finding, suspect: str, *, since: int | None) -> bool:
    """Return whether `finding` says what `suspect` did, and was raised since then."""
    late = since is not None and finding.time >= since
    told = finding.code.startswith((BEHAVIOUR, PRESENTED))
    return late and told and finding.subject == suspect


def _first_recorded(acts: Sequence[Act], calls: pa.Table, suspect: str) -> int | None:
    """Return when the first recorded call of `suspect` began while one of `acts` was under way."""
    mine = calls.filter(pc.equal(calls["source"].cast(pa.string()), suspect))
    times: list[int] = sorted(mine["time"].cast(pa.int64()).to_pylist())
    for act in acts:
        during = [time for time in times if act.at - _SLACK <= time <= act.end]
        if during:
            return max(during[0], act.at)
    return None
