"""The live watch: recorded calls into the behaviour model as they come, findings out.

`inbox` takes calls from the recorder's thread, bounded; `watch` scores them, tells what is found
and keeps the model's state; `pace` turns times for a bank that lives faster than the clock;
`settings` is the mesh file's `behaviour` section; `opening` puts a watch together; `following`
watches what another process records.
"""

from meshwarden.control.watching.inbox import Inbox
from meshwarden.control.watching.pace import Pace
from meshwarden.control.watching.scoring_model import Scored, ScoringModel
from meshwarden.control.watching.settings import BehaviourSettings
from meshwarden.control.watching.watch import Watch, WatchFigures

__all__ = [
    "BehaviourSettings", "Inbox", "Pace", "Scored", "ScoringModel", "Watch", "WatchFigures",
]  # fmt: skip
