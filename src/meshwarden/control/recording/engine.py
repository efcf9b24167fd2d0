"""The recorder's work without its loop: read the logs, merge, write parts; one `cycle` at a time.

- Parts are written in a thread of their own (`storing`), while reading goes on.
- What is read but not yet in a part exists only in memory; the newest part's checkpoint says from
  where a new engine has to read again. A log's old generation is deleted only after a part that
  lies beyond it is durable. So a kill at any moment loses nothing and doubles nothing.
- The log that is furthest behind in event time is read first, in bounded chunks; a share of each
  cycle is for the others in turn, so that none waits for one that has much, or old times, to tell.
  Where the disk refuses, reading stops and the logs are the queue. Only when a log outgrows its
  bound is its oldest generation given up: counted, and said in a finding.
- A log that cannot be read may yet tell of any call: others' reports wait for it, for a while.
"""

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Final

import pyarrow as pa

from meshwarden.adapters.envoy.accesslog_call import Naming
from meshwarden.adapters.storage.parts import PartWriter, read_checkpoint
from meshwarden.adapters.storage.rejected import Rejected, RejectedLines
from meshwarden.adapters.storage.tail import LogTail
from meshwarden.control.recording.checkpoint import (
    Checkpoint,
    Standing,
    parse_checkpoint,
)
from meshwarden.control.recording.figures import Figures, refused_by
from meshwarden.control.recording.limits import Limits, LogSource
from meshwarden.control.recording.merge import SECOND, step
from meshwarden.control.recording.storing import Storing, Unwritten, Written
from meshwarden.control.recording.telling import Reading, Telling
from meshwarden.control.recording.troubles import TIDY, WRITE, Troubles, nanoseconds
from meshwarden.kernel import (
    Clock,
    DependencyError,
    Finding,
    Severity,
    StateError,
)

_RATE_WINDOW_S: Final = 5
_REOPEN_AGAIN_S: Final = 1
_SHARED: Final = 4  # of a cycle, one part in so many is not for the log that is furthest behind
_MOST_PARTS: Final = 4
"""Parts' worth of calls that may wait in memory while one is being written."""


class Engine:
    """One record and the logs that it is made from; not thread-safe.

    Args:
        folder: where the parts go.
        clock: time of day.
        naming: what the codec has to know about the mesh; may be replaced at any time.
        limits: bounds.
        report: takes findings about the recording itself.
        observe: is shown calls (CALL_SCHEMA) as soon as they are certain, before they are durable;
            may wait.

    Raises:
        StateError: another process writes there, or the checkpoint is not readable.
    """

    def __init__(
        self,
        *,
        folder: Path,
        clock: Clock,
        naming: Naming,
        limits: Limits,
        report: Callable[[Finding], None],
        observe: Callable[[pa.Table], None] = lambda _: None,
    ) -> None:
        self.naming = naming
        self._clock = clock
        self._limits = limits
        self._observe = observe
        self._troubles = Troubles(clock, report)
        self._writer = PartWriter(folder, max_bytes=limits.record_bytes)
        aside = RejectedLines(folder / "rejected.jsonl", max_bytes=4 * 1024**2)
        self._storing = Storing(self._writer, aside)
        self._sources: dict[str, LogSource] = {}
        self._asked: dict[str, int] = {}
        self._turns: dict[str, int] = {}
        self._turns_taken = count(1)
        self._behind: dict[str, int] = {}
        self._calls: list[pa.Table] = []
        self._rejected: list[Rejected] = []
        self._since: int | None = None
        self._recent: deque[tuple[int, int]] = deque()
        self._refused: Counter[str] = Counter()
        checkpoint = self._load()
        self._logs = dict(checkpoint.logs)
        self._stored = dict(checkpoint.logs)
        self._merge = checkpoint.merge
        self._totals = checkpoint.totals

    def follow(self, source: LogSource) -> None:
        """Read this log too, from where the record left it."""
        self._sources[source.name] = source
        known = self._logs.get(source.name, Standing(owner="", path=""))
        self._logs[source.name] = replace(known, owner=source.owner, path=str(source.path))

    def cycle(self, *, write: bool = False, settle: bool = False) -> bool:
        """Read once, and write what is due; return whether there is more to read right now.

        Args:
            write: write a part whatever its size and age.
            settle: the sidecars are gone: once all is read, callers' reports wait no longer.
        """
        now = self._now()
        self._store(wait=self._full(parts=1 if self._disk_refuses() else _MOST_PARTS))
        stops = self._disk_refuses() and self._full()
        more = False if stops else self._read(now, settle=settle)
        if (write and not more) or self._due(now):
            self._store(wait=write, begin=True)
        for name in list(self._logs):
            self._rotate(name, now)
        return more

    def figures(self) -> Figures:
        """Return the figures as of the last cycle."""
        now = self._now()
        while self._recent and self._recent[0][0] < now - _RATE_WINDOW_S * SECOND:
            self._recent.popleft()
        return Figures(
            totals=self._totals,
            rate_per_s=sum(calls for _, calls in self._recent) / _RATE_WINDOW_S,
            held=len(self._merge.held),
            late=self._merge.late,
            evicted=self._merge.evicted,
            behind_bytes=sum(self._behind.values()),
            trouble=self._troubles.first,
            refused=dict(self._refused),
        )

    def close(self) -> None:
        """Let another process record; what is not in a part is read again by the next."""
        self._storing.close()

    def _load(self) -> Checkpoint:
        while (part := self._writer.newest()) is not None:
            try:
                raw = read_checkpoint(part)
            except StateError as error:
                self._writer.set_aside(part)
                self._troubles.say("record.damaged", part.path.name, str(error), Severity.HIGH)
                continue
            return parse_checkpoint(raw, where=str(part.path))
        return Checkpoint()

    def _read(self, now: int, *, settle: bool) -> bool:
        """Read chunks, and tell what is certain; return whether more is left."""
        reading = Reading()
        waiting = self._read_logs(reading)
        telling = Telling(reading, self.naming)
        horizon = now - self._limits.slack_ns
        untold = waiting | self._waited_for(now)
        watermark = min([horizon, *(self._logs[name].progress for name in untold)])
        settled = settle and not untold
        self._merge, certain = step(
            self._merge, telling.told, watermark, self._limits.merge, settle=settled
        )
        calls = telling.calls(certain)
        for line in telling.rejected:
            self._reject(line)
        self._take(calls, now)
        return bool(waiting)

    def _read_logs(self, reading: Reading) -> set[str]:
        """Read chunks: the furthest behind first, at last who was not read longest.

        Return the logs that have more.
        """
        waiting, budget = set(self._logs), self._limits.cycle_bytes
        for first, shared in ((self._progress, budget // _SHARED), (self._turn, 0)):
            while waiting and budget > shared:
                name = min(waiting, key=lambda each: (first(each), each))
                drained, used = self._read_chunk(name, reading)
                self._turns[name] = next(self._turns_taken)
                budget -= used
                if drained:
                    waiting.discard(name)
        return waiting

    def _progress(self, name: str) -> int:
        return self._logs[name].progress

    def _turn(self, name: str) -> int:
        return self._turns.get(name, 0)

    def _read_chunk(self, name: str, reading: Reading) -> tuple[bool, int]:
        log = self._logs[name]
        try:
            chunk = LogTail(Path(log.path)).read(log.position, max_bytes=self._limits.chunk_bytes)
        except OSError as error:
            self._cannot_read(name, log.path, error)
            return True, 0
        self._troubles.mend(("read", name))
        progress = reading.add(name, log.owner, chunk) or log.progress
        if chunk.restarted:
            self._restarted(name, log.path)
        self._logs[name] = replace(log, position=chunk.position, progress=progress)
        return chunk.drained, max(1, chunk.octets)

    def _cannot_read(self, name: str, path: str, error: OSError) -> None:
        wait_s = self._limits.unreadable_s
        self._troubles.fail(
            ("read", name),
            f"{path} cannot be read: {error}; for {wait_s:g} s others' reports wait for it",
        )
        if name not in self._waited_for(self._now()):
            self._troubles.say(
                "record.one_sided",
                name,
                f"the access log of {name} could not be read for {wait_s:g} s: from now on its"
                " calls are recorded as their other ends tell them, without its proof of the caller"
                " and its rule; what it tells of them later is counted as late, or a second record",
                Severity.HIGH,
            )

    def _waited_for(self, now: int) -> set[str]:
        """Return the logs that cannot be read, but not for so long that nobody waits for them."""
        bound = int(self._limits.unreadable_s * SECOND)
        since = ((name, self._troubles.since(("read", name))) for name in self._logs)
        return {name for name, began in since if began is not None and now - began < bound}

    def _restarted(self, name: str, path: str) -> None:
        self._totals = replace(self._totals, restarted_logs=self._totals.restarted_logs + 1)
        self._troubles.say(
            "record.restarted",
            name,
            f"{path} was replaced or cut by somebody else; it is read from its start",
            Severity.HIGH,
        )

    def _take(self, calls: pa.Table, now: int) -> None:
        if calls.num_rows:
            self._calls.append(calls)
            self._totals = self._totals.count(calls)
            self._refused += refused_by(calls)
            self._observe(calls)
            self._recent.append((now, calls.num_rows))
        if (self._calls or self._rejected) and self._since is None:
            self._since = now

    def _reject(self, line: Rejected) -> None:
        self._rejected.append(line)
        self._totals = replace(self._totals, rejected_lines=self._totals.rejected_lines + 1)
        self._troubles.say(
            "record.rejected",
            line.log,
            f"the access log of {line.log} has lines that break the format ({line.reason}); "
            "see rejected.jsonl",
            Severity.MEDIUM,
        )

    def _full(self, *, parts: int = 1) -> bool:
        rows: int = sum(calls.num_rows for calls in self._calls)
        return rows + len(self._rejected) >= parts * self._limits.part_rows

    def _due(self, now: int) -> bool:
        if self._full():
            return True
        if self._since is not None:
            self._since = min(self._since, now)  # a clock that was set back
            return now - self._since >= self._limits.part_age_s * SECOND
        return any(
            log.position.generation != self._stored[name].position.generation
            for name, log in self._logs.items()
            if name in self._stored
        )

    def _store(self, *, wait: bool, begin: bool = False) -> None:
        """Take note of the part under way, and `begin` the next where that one has ended.

        `wait`: until what was under way, and what is begun, has ended. Where it cannot be written
        it is kept, and said.
        """
        self._note(self._storing.outcome(wait=wait))
        changed = self._calls or self._rejected or self._logs != self._stored
        if self._storing.busy or not changed or not (begin or (wait and self._full())):
            return
        logs = {name: log for name, log in self._logs.items() if self._is_kept(name, log)}
        checkpoint = Checkpoint(logs=logs, merge=self._merge, totals=self._totals)
        self._storing.begin(
            Unwritten(calls=self._calls, rejected=self._rejected, checkpoint=checkpoint)
        )
        self._calls, self._rejected, self._since = [], [], None
        for gone in self._logs.keys() - logs.keys():
            self._troubles.mend(("read", gone))
            self._troubles.mend(("rotate", gone))
        self._logs = dict(logs)  # the part's own must not change while it is written
        if wait or self._disk_refuses():
            self._note(self._storing.outcome(wait=True))

    def _note(self, written: Written | None) -> None:
        if written is None:
            return
        if written.failed is not None:
            self._calls = [*written.part.calls, *self._calls]
            self._rejected = [*written.part.rejected, *self._rejected]
            self._troubles.fail(WRITE, f"the record cannot be written: {written.failed}")
            return
        self._troubles.mend(WRITE)
        self._stored = dict(written.part.checkpoint.logs)
        dropped = self._totals.dropped_calls + written.dropped
        self._totals = replace(self._totals, dropped_calls=dropped)
        self._tidy(written.untidy)

    def _tidy(self, untidy: OSError | StateError | None) -> None:
        try:
            if untidy is not None:
                raise untidy
            for log in self._stored.values():
                LogTail(Path(log.path)).remove_before(log.position)
        except (OSError, StateError) as error:
            self._troubles.fail(TIDY, f"the record cannot be tidied: {error}")
        else:
            self._troubles.mend(TIDY)

    def _is_kept(self, name: str, log: Standing) -> bool:
        return name in self._sources or Path(log.path).exists()

    def _rotate(self, name: str, now: int) -> None:
        log = self._logs[name]
        try:
            self._renew(name, log, LogTail(Path(log.path)), now)
        except DependencyError:
            return  # a sidecar that is down opens a new file when it starts; asked again anyhow
        except OSError as error:
            self._troubles.fail(("rotate", name), f"{log.path} cannot be rotated: {error}")
        else:
            self._troubles.mend(("rotate", name))

    def _renew(self, name: str, log: Standing, tail: LogTail, now: int) -> None:
        """Give up what is too much, and have the sidecar open its log anew where that is due."""
        self._give_up(name, log, tail)
        source = self._sources.get(name)
        if source is None or source.reopen is None:
            return
        if tail.size() >= self._limits.log_bytes:
            tail.rotate(log.position)
        elif not tail.unopened() or now - self._asked.get(name, 0) < _REOPEN_AGAIN_S * SECOND:
            return
        self._asked[name] = now
        source.reopen()

    def _give_up(self, name: str, log: Standing, tail: LogTail) -> None:
        behind = self._behind[name] = tail.backlog(log.position)
        if behind <= self._limits.backlog_bytes:
            return
        later = tail.oldest(log.position)
        if later is None:
            return
        skipped = behind - tail.backlog(later)
        self._logs[name] = replace(log, position=later)
        self._totals = replace(self._totals, skipped_bytes=self._totals.skipped_bytes + skipped)
        self._troubles.say(
            "record.flood",
            name,
            f"the access log of {name} grows faster than it can be recorded; "
            f"{self._totals.skipped_bytes} octets of it were given up so far",
            Severity.HIGH,
        )

    def _disk_refuses(self) -> bool:
        return self._troubles.since(WRITE) is not None

    def _now(self) -> int:
        return nanoseconds(self._clock)
