"""What now: incidents, playbooks, guard rails, and the record that a response is folded from.

`record` chains what happens; `advance` folds it into an `Incident`; `next_move` says what comes
next; `judge` holds it within the guard rails; `choose` and `simulate` pick a playbook and show what
it would do. `catalogue` says what each action is. Carrying actions out is `control.response`.
"""

from meshwarden.response.advance import (
    MAX_FINDINGS,
    advance,
    fold,
    parse_finding,
    render_finding,
)
from meshwarden.response.catalogue import CATALOGUE, ActionSpec, Reach
from meshwarden.response.choose import (
    Foreseen,
    choose,
    is_automatic,
    judging_for,
    plan_data,
    simulate,
    world_of,
)
from meshwarden.response.confidence import probability_of
from meshwarden.response.customers import Customers, customers_in
from meshwarden.response.driver import Driver, Instance, SnapshotSources
from meshwarden.response.gather import Touched, incident_about, phase_of, touched_by
from meshwarden.response.guards import (
    GuardRails,
    Outcome,
    Ruling,
    ServiceFacts,
    Verdict,
    World,
    judge,
)
from meshwarden.response.guards_file import parse_guard_rails
from meshwarden.response.model import Incident, IncidentState, Step, StepState, Suspect
from meshwarden.response.next_move import (
    Apply,
    Move,
    Probe,
    Record,
    Recover,
    Release,
    Undo,
    Wait,
    next_move,
)
from meshwarden.response.playbook import Playbook, PlaybookStep, parse_playbook
from meshwarden.response.record import WARDEN, Entry, EntryKind, append, verify_record
from meshwarden.response.rotation import Rotation

__all__ = [
    "CATALOGUE",
    "MAX_FINDINGS",
    "WARDEN",
    "ActionSpec",
    "Apply",
    "Customers",
    "Driver",
    "Entry",
    "EntryKind",
    "Foreseen",
    "GuardRails",
    "Incident",
    "IncidentState",
    "Instance",
    "Move",
    "Outcome",
    "Playbook",
    "PlaybookStep",
    "Probe",
    "Reach",
    "Record",
    "Recover",
    "Release",
    "Rotation",
    "Ruling",
    "ServiceFacts",
    "SnapshotSources",
    "Step",
    "StepState",
    "Suspect",
    "Touched",
    "Undo",
    "Verdict",
    "Wait",
    "World",
    "advance",
    "append",
    "choose",
    "customers_in",
    "fold",
    "incident_about",
    "is_automatic",
    "judge",
    "judging_for",
    "next_move",
    "parse_finding",
    "parse_guard_rails",
    "parse_playbook",
    "phase_of",
    "plan_data",
    "probability_of",
    "render_finding",
    "simulate",
    "touched_by",
    "verify_record",
    "world_of",
]
