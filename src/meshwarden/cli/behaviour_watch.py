"""`meshwarden behaviour watch`: follows a live source, and prints what it finds as it comes."""

import asyncio
import json as jsonlib
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import pyarrow as pa
from cyclopts import Parameter

from meshwarden.adapters.clock import SystemClock
from meshwarden.adapters.storage.findings import FileFindingStore
from meshwarden.adapters.storage.model_state import FileModelState
from meshwarden.cli.exporting import STORE, exporting
from meshwarden.cli.findings_text import finding_line, finding_object
from meshwarden.cli.outputs import Outputs
from meshwarden.cli.prior import Prior
from meshwarden.cli.progress import Progress
from meshwarden.cli.sources import Logs, Reading, RejectedFile, options_of, require_logs
from meshwarden.control.sources import open_source
from meshwarden.control.watching.declared import DeclaredPolicy
from meshwarden.control.watching.findings import findings_about_verdicts
from meshwarden.control.watching.following import Followed, recorded, watch_batches
from meshwarden.control.watching.opening import load_model
from meshwarden.kernel import ConfigError, Finding, InputError

if TYPE_CHECKING:
    from meshwarden.behaviour import Model


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

    Exit code 1 where something was found. A running `up` or `serve` watches by itself: this is for
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
        json: print one JSON object a line.
    """
    outputs = outputs or Outputs()
    if bool(source) == (state is not None):
        raise ConfigError("watch.source", "name logs, or --state DIR, and not both")
    if source:
        require_logs(source)
    if outputs.any and keep is None:
        raise ConfigError(
            "watch.keep", "findings that go elsewhere have to be kept", hint="--keep DIR"
        )
    prior = prior or Prior()
    watching = _Watching(
        source=source, state=state, reading=reading or Reading(), baseline=prior.baseline,
        declared=prior.declared(),
        budget=false_alarms_per_day, keep=keep, once=once, json=json,
    )  # fmt: skip
    followed = asyncio.run(_run(watching, outputs))
    print(f"{followed.calls:,} calls, {followed.findings} findings", file=sys.stderr)
    return 1 if followed.findings else 0


@dataclass(frozen=True, kw_only=True)
class _Watching:
    source: tuple[str, ...]
    state: Path | None
    reading: Reading
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
        if self.state is not None:
            if self.once:
                stop.set()
            yield from recorded(self.state / "calls", stop)
            return
        rejected = RejectedFile(self.reading.rejected)
        options = options_of(self.reading, rejected, Progress())
        source = open_source(
            self.source, options=options if self.once else replace(options, stop=stop)
        )
        for batch in source:
            rejected.flush()
            yield batch
        rejected.flush()

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


async def _run(watching: _Watching, outputs: Outputs) -> Followed:
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with exporting(outputs, (watching.keep or Path()).absolute()):
        return await asyncio.to_thread(watching.follow, stop)
