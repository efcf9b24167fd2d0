"""`meshwarden behaviour watch`: follows a live source, and prints what it finds as it comes."""

import asyncio
import json as jsonlib
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Annotated, Final

import pyarrow as pa
from cyclopts import Parameter

from meshwarden.adapters.clock import SystemClock
from meshwarden.adapters.storage.findings import FileFindingStore
from meshwarden.adapters.storage.model_state import FileModelState
from meshwarden.cli.calls_text import counted
from meshwarden.cli.exporting import STORE, exporting
from meshwarden.cli.findings_text import finding_line, finding_object
from meshwarden.cli.outputs import Outputs
from meshwarden.cli.prior import Prior
from meshwarden.cli.progress import Progress
from meshwarden.cli.sources import (
    Logs,
    Reading,
    RejectedFile,
    aside_lines,
    options_of,
    report_lines,
    report_object,
    require_calls,
    require_logs,
)
from meshwarden.control.sources import SourceReport, open_source
from meshwarden.control.watching.declared import DeclaredPolicy
from meshwarden.control.watching.findings import findings_about_verdicts
from meshwarden.control.watching.following import Followed, recorded, watch_batches
from meshwarden.control.watching.opening import load_model
from meshwarden.kernel import ConfigError, Finding, InputError

if TYPE_CHECKING:
    from meshwarden.behaviour import Model

_SAY_AGAIN_S: Final = 60.0


def watch(
    *source: Logs,
    state: Path | None = None,
    reading: Reading | None = None,
    prior: Prior | None = None,
    false_alarms_per_day: float = 1.0,
    keep: Path | None = None,
    outputs: Outputs | None = None,
    once: Annotated[bool, Parameter(negative="")] = False,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Follow calls as they are recorded and print each finding, until Ctrl-C.

    What could not be read is said on the way and at the end. Exit code 1 where something was found,
    2 where logs end without a call. A running `up` or `serve` watches by itself: this is for
    other meshes' logs, and for a second look.

    Args:
        source: growing logs in lines of any supported format, - for stdin, otlp://HOST:PORT; what
            cannot be followed (gzip, CSV, Parquet) needs --once.
        state: follow what a running mesh records in this state directory instead.
        reading: how logs are read.
        prior: what is known before.
        false_alarms_per_day: how many false alarms a day are worth it.
        keep: directory for what is learned and found; the next watch goes on from there.
        outputs: where findings go besides; needs --keep, so that none is lost.
        once: stop at the end of the source instead of waiting for more.
        json: print one JSON object a line: each finding, at last the sums.
    """
    outputs = outputs or Outputs()
    if bool(source) == (state is not None):
        raise ConfigError("watch.source", "name logs, or --state DIR, and not both")
    if outputs.any and keep is None:
        raise ConfigError(
            "watch.keep", "findings that go elsewhere have to be kept", hint="--keep DIR"
        )
    prior, stop = prior or Prior(), threading.Event()
    logs = WatchedLogs(source, reading or Reading(), None if once else stop) if source else None
    watching = _Watching(
        logs=logs, state=state, baseline=prior.baseline, declared=prior.declared(),
        budget=false_alarms_per_day, keep=keep, once=once, json=json,
    )  # fmt: skip
    followed = asyncio.run(_run(watching, outputs, stop))
    if logs is not None and not stop.is_set():
        require_calls(logs.report)
    _say_sums(followed, logs.report if logs else None, json=json)
    return 1 if followed.findings else 0


def _say_sums(followed: Followed, report: SourceReport | None, *, json: bool) -> None:
    if json:
        read = None if report is None else report_object(report)
        sums = {"calls": followed.calls, "findings": followed.findings, "source": read}
        print(jsonlib.dumps(sums, ensure_ascii=False))
        return
    lines = [] if report is None else report_lines(report)
    sums_line = f"{counted(followed.calls, 'call')}, {counted(followed.findings, 'finding')}"
    print("\n".join([*lines, sums_line]), file=sys.stderr)


class WatchedLogs:
    """Logs that are watched, and what could not be read of them.

    Args:
        names: files, folders, patterns, `-`, `otlp://HOST:PORT`.
        reading: how they are read.
        stop: follow them until this is set; None reads to the end once.
    """

    def __init__(
        self, names: tuple[str, ...], reading: Reading, stop: threading.Event | None
    ) -> None:
        require_logs(names)
        self._rejected = RejectedFile(reading.rejected)
        options = options_of(reading, self._rejected, Progress())
        if stop is not None:
            options = replace(options, stop=stop, progress=lambda _: self._say_aside())
        self._source = open_source(names, options=options)
        self._said: list[str] = []
        self._quiet_until = 0.0
        self.report = self._source.report

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Return the calls; what is kept aside is written before each batch of them is."""
        for batch in self._source:
            self._rejected.flush()
            yield batch
        self._rejected.flush()

    def _say_aside(self) -> None:
        """Say what was set aside since the last time, once a minute at most."""
        if monotonic() < self._quiet_until:
            return
        lines = aside_lines(self.report)
        new = [line for line in lines if line not in self._said]
        if new:
            print("\n".join(new), file=sys.stderr)
            self._said, self._quiet_until = lines, monotonic() + _SAY_AGAIN_S


@dataclass(frozen=True, kw_only=True)
class _Watching:
    logs: WatchedLogs | None
    state: Path | None
    baseline: Path | None
    declared: DeclaredPolicy | None
    budget: float
    keep: Path | None
    once: bool
    json: bool

    def follow(self, stop: threading.Event) -> Followed:
        """Follow the source until it ends or `stop` is set; for a thread."""
        state = FileModelState(self.keep / "model") if self.keep else None
        model, tell, clock = self._model(state), self._tell(), SystemClock()
        for held_back in findings_about_verdicts(clock, model.verdicts, after=model.times[1]):
            tell(held_back)
        return watch_batches(
            self._batches(stop),
            model,
            tell=tell,
            keep=state.store_state if state else lambda _: None,
        )

    def _model(self, state: FileModelState | None) -> "Model":
        """Return what was kept, else the baseline, else a model that knows nothing."""
        if self.baseline is None or (state is not None and state.path.exists()):
            return load_model(
                state, false_alarms_per_day=self.budget, clock=SystemClock(), tell=self._print,
                declared=self.declared,
            )  # fmt: skip
        from meshwarden.behaviour import Model  # noqa: PLC0415  # compiled code, seconds

        learned = FileModelState(self.baseline).load_state()
        if learned is None:
            raise InputError("behaviour.baseline", "no such file", where=str(self.baseline))
        return Model.load(learned, self.declared, false_alarms_per_day=self.budget)

    def _batches(self, stop: threading.Event) -> Iterator[pa.Table | pa.RecordBatch]:
        if self.logs is not None:
            yield from self.logs.batches()
        if self.state is not None:
            if self.once:
                stop.set()
            yield from recorded(self.state / "calls", stop)

    def _tell(self) -> Callable[[Finding], None]:
        if self.keep is None:
            return self._print
        self.keep.mkdir(mode=0o700, parents=True, exist_ok=True)
        store = FileFindingStore(self.keep / STORE)

        def _both(finding: Finding) -> None:
            store.store_finding(finding)
            self._print(finding)

        return _both

    def _print(self, finding: Finding) -> None:
        text = jsonlib.dumps(finding_object(finding)) if self.json else finding_line(finding)
        print(text, flush=True)


async def _run(watching: _Watching, outputs: Outputs, stop: threading.Event) -> Followed:
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with exporting(outputs, (watching.keep or Path()).absolute()):
        return await asyncio.to_thread(watching.follow, stop)
