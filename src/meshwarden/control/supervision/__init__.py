"""Keeps the processes of a mesh running: control plane, sidecars, services.

`restarts` says when to start again (pure), `keeper` keeps one program running, `supervisor` knows
the order, `ground` prepares and cleans the state directory, `model` holds what goes in and out.
"""

from meshwarden.control.supervision.model import Claim, Event, EventKind, Wiring
from meshwarden.control.supervision.restarts import RestartPolicy
from meshwarden.control.supervision.supervisor import Supervisor

__all__ = ["Claim", "Event", "EventKind", "RestartPolicy", "Supervisor", "Wiring"]
