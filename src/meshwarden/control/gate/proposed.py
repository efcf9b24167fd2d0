"""Holds the access policy in the input against the one before it and against recorded calls."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from meshwarden.adapters.yaml import load_document
from meshwarden.control.traffic import read_traffic
from meshwarden.policy import AccessPolicy, parse_policy
from meshwarden.policy.gate.model import GateFinding
from meshwarden.policy.gate.proposed import reach_findings, replay_findings, unread_finding
from meshwarden.policy.reach import diff_policies
from meshwarden.policy.traffic import Observed, replay


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """What a proposed policy is compared with.

    Attributes:
        before: the policy in force; without it the record says what was allowed.
        observed: recorded calls, summed.
        unread: rows of the record that could not be read, by reason.
    """

    before: AccessPolicy | None = None
    observed: tuple[Observed, ...] = ()
    unread: Mapping[str, int] = field(default_factory=dict)

    def findings(self, policy: AccessPolicy, source: str) -> Iterator[GateFinding]:
        """Yield what `policy`, which stands in the file `source`, changes."""
        if self.before is not None:
            yield from reach_findings(diff_policies(self.before, policy), source)
        if self.observed:
            yield from replay_findings(replay(self.observed, policy, self.before), source)
        if self.unread:
            yield unread_finding(self.unread, source)


def load_proposal(against: Path | None, calls: Sequence[Path]) -> Proposal:
    """Return the proposal's counterparts.

    Args:
        against: the policy before; None where there is none to compare with.
        calls: recorded calls, as `policy replay` takes them.

    Raises:
        ConfigError, InputError: where one of them cannot be read; `calls.none` without any call.
    """
    before = None if against is None else parse_policy(load_document(against))
    if not calls:
        return Proposal(before=before)
    read = read_traffic(calls)
    read.require_calls()
    observed = tuple(read.traffic.observed())
    return Proposal(before=before, observed=observed, unread=read.rejected)
