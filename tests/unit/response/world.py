"""A response without a controller: moves carried out by hand, every action as a test says."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from meshwarden.kernel import Finding, Severity
from meshwarden.response import (
    Apply,
    Entry,
    EntryKind,
    GuardRails,
    Incident,
    Move,
    Playbook,
    Probe,
    Record,
    Recover,
    Release,
    ServiceFacts,
    Suspect,
    Undo,
    Wait,
    World,
    append,
    fold,
    next_move,
    plan_data,
    render_finding,
)
from meshwarden.response.choose import judging_for

SECOND = 10**9
PAYMENTS = Suspect(service="payments", identity="spiffe://bank.example/ns/core/sa/payments")
LEDGER = Suspect(service="ledger", identity="spiffe://bank.example/ns/core/sa/ledger")
BANK = World(
    services={
        "payments": ServiceFacts(tier=1, instances=3, healthy=3),
        "ledger": ServiceFacts(tier=0, instances=1, healthy=1),
    }
)


def finding(*, code: str = "behaviour.volume", p: float | None = 1e-9) -> Finding:
    return Finding(
        time=5 * SECOND,
        code=code,
        subject=PAYMENTS.identity,
        severity=Severity.HIGH,
        sentence="payments sent 40 MB to a host it never called",
        p_value=p,
        technique="T1041@18.1",
    )


@dataclass
class Response:
    """One incident, its record, and whoever carries moves out."""

    suspect: Suspect = PAYMENTS
    world: World = BANK
    rails: GuardRails = field(default_factory=GuardRails)
    now: int = 0
    record: list[Entry] = field(default_factory=list)
    done: list[str] = field(default_factory=list)
    fails: Callable[[str], bool] = lambda _: False

    def __post_init__(self) -> None:
        suspect = {"service": self.suspect.service, "identity": self.suspect.identity}
        self.note(EntryKind.OPENED, suspect=suspect)
        self.note(EntryKind.FOUND, finding=render_finding(finding()), first_call=4 * SECOND)

    @property
    def incident(self) -> Incident:
        return fold(self.record, incident_id="i1")

    def note(self, kind: EntryKind, actor: str = "warden", **data: object) -> None:
        before = self.record[-1] if self.record else None
        entry = append(before, time=self.now, kind=kind, actor=actor, data=data)
        fold([*self.record, entry], incident_id="i1")  # what does not fit raises here
        self.record.append(entry)

    def follow(self, playbook: Playbook, actor: str = "warden") -> None:
        self.note(EntryKind.PLANNED, actor, **plan_data(playbook))

    @property
    def move(self) -> Move:
        incident = self.incident
        judge = judging_for(incident, self.world, self.rails)
        return next_move(incident, now=self.now, judge=judge)

    def run(self) -> None:
        """Carry moves out until there is nothing to do."""
        for _ in self.steps():
            self.now += 1

    def steps(self) -> Iterator[str]:
        """Carry moves out; yield before each thing that a crash could come before."""
        while not isinstance(move := self.move, Wait):
            yield from self._carry_out(move)

    def _carry_out(self, move: Move) -> Iterator[str]:
        match move:
            case Record(action, verdict):
                self.note(
                    EntryKind.JUDGED, action=action, stopped=verdict.stopped, reason=verdict.reason
                )
            case Apply(action):
                self.note(EntryKind.STARTED, action=action)
                yield f"started {action}"
                if self.fails(action):
                    self.note(EntryKind.FAILED, action=action, outcome="it failed")
                    return
                if action not in self.done:  # actions are idempotent
                    self.done.append(action)
                yield f"did {action}"
                self.note(EntryKind.APPLIED, action=action, outcome="done")
            case Probe(action):
                yield f"probing {action}"
                self.note(EntryKind.VERIFIED, action=action, outcome="nothing passes")
            case Undo(action):
                yield f"undoing {action}"
                if action in self.done:
                    self.done.remove(action)
                yield f"undid {action}"
                self.note(EntryKind.UNDONE, action=action, outcome="undone")
            case Release(reason):
                self.note(EntryKind.RELEASING, reason=reason)
            case Recover():
                yield "probing recovery"
                self.note(EntryKind.RECOVERED, outcome="healthy")
        yield "noted"
