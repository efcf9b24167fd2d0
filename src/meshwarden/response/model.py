"""Incidents: who is suspected, what is done about it, and how far that has come.

All of these are facts: frozen, and changed only by `advance` (see `record`), one entry of the
incident's record at a time. Times are nanoseconds since the epoch, UTC; probabilities are 0..1.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from meshwarden.kernel import Finding
from meshwarden.response.catalogue import CATALOGUE, Reach


class IncidentState(StrEnum):
    """How far an incident has come."""

    OPEN = "open"
    CONTAINING = "containing"
    CONTAINED = "contained"
    RECOVERING = "recovering"
    RECOVERED = "recovered"
    CLOSED = "closed"
    FAILED = "failed"
    FALSE_ALARM = "false-alarm"

    @property
    def ended(self) -> bool:
        """Whether nothing more happens to it."""
        return self in {IncidentState.CLOSED, IncidentState.FALSE_ALARM}


class StepState(StrEnum):
    """How far one step of a plan has come."""

    PLANNED = "planned"
    WAITING = "waiting"  # for approval
    STOPPED = "stopped"  # by a guard rail
    STARTED = "started"
    APPLIED = "applied"
    VERIFIED = "verified"
    FAILED = "failed"
    UNDONE = "undone"

    @property
    def in_force(self) -> bool:
        """Whether what it did may hold now, also where that is not known for sure."""
        return self in {StepState.STARTED, StepState.APPLIED, StepState.VERIFIED, StepState.FAILED}

    @property
    def settled(self) -> bool:
        """Whether the plan goes on to the next step."""
        return self in {StepState.VERIFIED, StepState.FAILED, StepState.STOPPED, StepState.UNDONE}


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspect:
    """The one workload instance that is suspected.

    Attributes:
        service: its name in the mesh.
        identity: its SPIFFE ID, as its certificate proved.
        instance: where it runs, as the driver knows it (a process, a container); None = the only
            one of its service.
        certificate: SHA-256 of the certificate that the findings' calls showed; None where the
            source of the calls carries none.
        session: hashed id of the customer's session that it carried; None where there is none.
    """

    service: str
    identity: str
    instance: str | None = None
    certificate: str | None = None
    session: str | None = None

    @property
    def key(self) -> str:
        """What findings about the same suspect share."""
        return f"{self.identity}#{self.instance}" if self.instance else self.identity


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One action of a plan and how far it has come.

    Attributes:
        action: its name in the catalogue.
        state: how far.
        approvals: how many different people the playbook asks for; rails may ask for more.
        approvers: who has approved it so far.
        outcome: what applying or probing it found, one sentence; "" before.
        undo: what undoing it needs and only applying it could know (the old value's place, ...).
    """

    action: str
    state: StepState = StepState.PLANNED
    approvals: int = 0
    approvers: frozenset[str] = frozenset()
    outcome: str = ""
    undo: Mapping[str, str] = field(default_factory=dict)

    @property
    def holds(self) -> bool:
        """Whether it may now take something away from the business that undoing gives back."""
        spec = CATALOGUE[self.action]
        return self.state.in_force and spec.reversible and spec.reach is not Reach.NOTHING


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """Findings about one suspect, and the state of the response.

    Attributes:
        id: sortable and unique.
        suspect: who.
        opened: when the first finding came.
        findings: in the order in which they came, bounded (see `gather`).
        more_findings: how many came beyond the bound.
        probability: that the suspect is compromised, by all findings together.
        first_call: time of the first call behind them; None where no finding names one.
        state: how far the response has come.
        playbook: what is followed; None before one was chosen.
        steps: its plan.
        contained, verified, recovered: when; None before.
        release_at: end of the time box; None where nothing is contained.
        entries: how many entries its record has.
    """

    id: str
    suspect: Suspect
    opened: int
    findings: tuple[Finding, ...] = ()
    more_findings: int = 0
    probability: float = 0.0
    first_call: int | None = None
    state: IncidentState = IncidentState.OPEN
    playbook: str | None = None
    steps: tuple[Step, ...] = ()
    contained: int | None = None
    verified: int | None = None
    recovered: int | None = None
    release_at: int | None = None
    entries: int = 0

    @property
    def cut_off(self) -> bool:
        """Whether its suspect serves nobody now, or is just being cut off."""
        if self.state.ended or self.recovered is not None:
            return False
        return any(
            step.state.in_force and CATALOGUE[step.action].reach is Reach.INSTANCE
            for step in self.steps
        )

    @property
    def replaced(self) -> bool:
        """Whether a clean instance stands in the suspect's place."""
        return any(
            step.action == "replace" and step.state is StepState.VERIFIED for step in self.steps
        )

    def step_number(self, action: str) -> int | None:
        """Return the place of `action` in the plan; None where it is no part of it."""
        return next((n for n, step in enumerate(self.steps) if step.action == action), None)
