"""What a recorder is given: the logs to follow, and its bounds."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from meshwarden.control.recording.merge import SECOND, MergeLimits


@dataclass(frozen=True, slots=True, kw_only=True)
class LogSource:
    """One sidecar's log.

    Attributes:
        name: unique and stable (the service's name).
        owner: SPIFFE ID of the service.
        path: the live file.
        reopen: asks the sidecar to open its log anew; DependencyError where it does not answer.
    """

    name: str
    owner: str
    path: Path
    reopen: Callable[[], None] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds of the recorder.

    Attributes:
        part_rows: a part is written at this many calls.
        part_age_s: a part is written this long after its first call: how stale readers can be.
        record_bytes: of all parts; the oldest go.
        log_bytes: a log is rotated at this size.
        backlog_bytes: of one log that is unread; beyond it the oldest generation is given up.
        chunk_bytes: read from one log at a time.
        cycle_bytes: read in one cycle.
        slack_ns: how long a sidecar may take from the end of a call to the line in its log.
        unreadable_s: how long others' reports wait for a log that cannot be read. Longer, and one
            broken file holds all of them back; shorter, and calls are recorded without what its
            sidecar knows.
        merge: bounds of the merge.
    """

    part_rows: int = 20_000
    part_age_s: float = 1.0
    record_bytes: int = 2 * 1024**3
    log_bytes: int = 64 * 1024**2
    backlog_bytes: int = 512 * 1024**2
    chunk_bytes: int = 256 * 1024
    cycle_bytes: int = 1024**2
    slack_ns: int = SECOND
    unreadable_s: float = 30.0
    merge: MergeLimits = field(default_factory=MergeLimits)
