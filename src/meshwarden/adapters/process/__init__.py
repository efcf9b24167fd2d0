"""Child processes: started without a shell, never outliving the supervisor, their output kept.

`launch.py` and `guard.py` also run as programs of their own with the standard library alone, so
that a start costs some ten milliseconds and no setting of the environment reaches them.
"""

from meshwarden.adapters.process.account import open_to_others
from meshwarden.adapters.process.child import Child, Exit, LineSink, Program, resolve_program
from meshwarden.adapters.process.guard import Guard
from meshwarden.adapters.process.health import accepts, answers
from meshwarden.adapters.process.output import OutputLog

__all__ = [
    "Child",
    "Exit",
    "Guard",
    "LineSink",
    "OutputLog",
    "Program",
    "accepts",
    "answers",
    "open_to_others",
    "resolve_program",
]
