"""The record of calls: what the sidecars logged, once per request, in Parquet parts.

`merge` pairs what both ends say (pure); `engine` reads, merges and writes, one cycle at a time, and
goes on after any crash where its `checkpoint` stands; `recorder` is the loop; `figures` counts.
"""

from meshwarden.control.recording.figures import Figures, Totals
from meshwarden.control.recording.limits import Limits, LogSource
from meshwarden.control.recording.merge import MergeLimits, MergeState, step
from meshwarden.control.recording.recorder import Recorder

__all__ = [
    "Figures",
    "Limits",
    "LogSource",
    "MergeLimits",
    "MergeState",
    "Recorder",
    "Totals",
    "step",
]
