"""The loop that scores recorded calls: what it finds is told at once, what it learned is kept.

- A call is scored within a cycle of the recorder (a tenth of a second) after it was recorded.
- Scoring runs in a thread, one batch at a time; whatever arrives meanwhile is the next batch.
- The model's state is kept every `SAVE_S` and at the end, whole or not at all. A control plane that
  is killed forgets what it learned since; it scores twice what it has to read again from the logs.
- Calls that could not be scored are counted and are themselves a finding: a flood hides things.
"""

import asyncio
import contextlib
import gc
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final, TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from meshwarden.behaviour.verdict import Verdict
from meshwarden.control.watching.declared import DeclaredPolicy
from meshwarden.control.watching.evidence import first_call_of
from meshwarden.control.watching.findings import (
    finding_about_itself,
    finding_about_verdict,
    nanoseconds,
)
from meshwarden.control.watching.inbox import SAMPLE, Inbox
from meshwarden.control.watching.pace import Pace
from meshwarden.control.watching.scoring_model import ScoringModel
from meshwarden.kernel import Clock, DependencyError, Finding
from meshwarden.policy import AccessPolicy

T = TypeVar("T")
SAVE_S: Final = 60.0
_SAY_AGAIN_S: Final = 60
_NS: Final = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchFigures:
    """What the watch knows of itself.

    Attributes:
        ready: whether the model is loaded; calls wait until it is.
        scored: calls that were scored.
        waiting: calls that wait.
        left_out: calls that were never scored, because too many came at once.
        findings: what was found.
        paced: whether it goes by the bank's own time.
    """

    ready: bool = False
    scored: int = 0
    waiting: int = 0
    left_out: int = 0
    findings: int = 0
    paced: bool = False


class Watch:
    """One model, fed by one recorder.

    Args:
        open_model: gives the model; called once, from a thread, when the watch runs.
        tell: takes each finding; called from a thread.
        keep: takes the model's state; DependencyError where it cannot be kept.
        clock: time of day, which findings carry.
        inbox: where calls wait.
        holds: score nothing until `set_pace`.
        declared: what the model goes by, where it goes by a policy.
    """

    def __init__(
        self,
        *,
        open_model: Callable[[], ScoringModel],
        tell: Callable[[Finding], None],
        keep: Callable[[bytes], None],
        clock: Clock,
        inbox: Inbox | None = None,
        holds: bool = False,
        declared: DeclaredPolicy | None = None,
    ) -> None:
        self.others: Callable[[pa.Table], pa.Table] = lambda calls: calls
        self._open_model = open_model
        self._model: ScoringModel | None = None
        self._tell = tell
        self._keep = keep
        self._clock = clock
        self._inbox = inbox or Inbox()
        self._holds = holds
        self._declared = declared
        self._pace: Pace | None = None
        self._figures = WatchFigures()
        self._saved = 0
        self._said_at: int | None = None
        self._unsaid = 0
        self._scoring = asyncio.Lock()

    def offer(self, calls: pa.Table) -> None:
        """Have `calls` (CALL_SCHEMA) scored, but for what `others` leaves out as our own doing.

        Called from the recorder's thread, which may be held up a little.
        """
        self._inbox.offer(self.others(calls))

    def set_pace(self, pace: Pace) -> None:
        """Go by the bank's own time from now on."""
        self._pace = pace
        self._holds = False

    def declare(self, policy: AccessPolicy) -> None:
        """Go by `policy` from now on, where a policy counts."""
        if self._declared is not None:
            self._declared.replace(policy)

    @property
    def holds(self) -> bool:
        """Whether it waits for `set_pace`."""
        return self._holds

    def began(self, finding: Finding) -> int | None:
        """Return when the first call behind `finding` began, by the clock; None: unknown."""
        first = first_call_of(finding)
        return first if first is None or self._pace is None else self._pace.clock_time(first)

    def figures(self) -> WatchFigures:
        """Return the figures of this moment."""
        return replace(
            self._figures,
            ready=self._model is not None,
            waiting=self._inbox.waiting,
            paced=self._pace is not None,
        )

    async def run(self) -> None:
        """Score what arrives, and keep the state now and then, until cancelled."""
        arrived = asyncio.Event()
        loop = asyncio.get_running_loop()
        self._inbox.arrived = lambda: _wake(loop, arrived)
        arrived.set()  # something may have come before
        save_at = loop.time() + SAVE_S
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(arrived.wait(), max(0.0, save_at - loop.time()))
            arrived.clear()
            due = loop.time() >= save_at  # asked once: a step may last beyond the next time
            await self._step(save=due)
            if due:
                save_at = loop.time() + SAVE_S

    async def close(self) -> None:
        """Score what waits, keep the state, and take nothing more."""
        self._inbox.close()
        await self._step(save=True)

    async def judge(self, verdict: Verdict) -> None:
        """Hold back alarms that a person called benign; on the disk when this returns, and told.

        Raises:
            InputError: `behaviour.channel`.
            DependencyError: it cannot be kept; then it does not hold.
        """
        await self._alone(partial(self._judge, verdict))

    async def verdicts(self) -> Sequence[Verdict]:
        """Return what people called benign, in the order of their saying so."""
        return await self._alone(lambda: tuple(self._opened().verdicts))

    async def _step(self, *, save: bool) -> None:
        await self._alone(partial(self._work, save))

    async def _alone(self, work: Callable[[], T]) -> T:
        """Do `work` in a thread, nothing else of the watch meanwhile."""
        async with self._scoring:
            task = asyncio.create_task(asyncio.to_thread(work))
            try:
                return await asyncio.shield(task)
            except asyncio.CancelledError:
                await asyncio.wait({task})  # the thread goes on whatever happens here
                raise

    def _opened(self) -> ScoringModel:
        if self._model is None:
            gc.disable()  # each collection of what compiles would stop whoever waits at an edge
            try:
                self._model = self._open_model()
            finally:
                gc.freeze()  # its libraries stay for good
                gc.enable()
        return self._model

    def _work(self, save: bool) -> None:
        model = self._opened()
        taken = self._inbox.take()
        self._count_left_out(taken.left_out)
        if not self._holds:
            self._score(model, taken.calls)
        if save:
            self._save(model)

    def _judge(self, verdict: Verdict) -> None:
        model = self._opened()
        before = model.verdicts
        model.judge(verdict)
        try:
            self._keep(model.save())
        except DependencyError:
            model.verdicts = before
            raise
        self._tell(finding_about_verdict(self._clock, verdict))

    def _score(self, model: ScoringModel, calls: pa.Table) -> None:
        if self._pace is not None:
            calls = self._pace.paced(calls)
        if not calls.num_rows:
            return
        in_order = pc.sort_indices(calls["time"])  # the logs of several sidecars
        scored = model.observe(calls.unify_dictionaries().take(in_order).combine_chunks())
        now = self._now()
        for finding in scored.findings:
            self._tell(replace(finding, time=now))
        figures = self._figures
        self._figures = replace(
            figures,
            scored=figures.scored + calls.num_rows,
            findings=figures.findings + len(scored.findings),
        )

    def _count_left_out(self, left_out: int) -> None:
        figures = self._figures
        self._figures = replace(figures, left_out=figures.left_out + left_out)
        self._unsaid += left_out
        now = self._now()
        quiet = self._said_at is not None and 0 <= now - self._said_at < _SAY_AGAIN_S * _NS
        if self._unsaid and not quiet:
            self._tell(
                finding_about_itself(
                    self._clock,
                    "behaviour.sampled",
                    f"Calls come faster than they can be scored: {self._unsaid} were recorded and"
                    f" not scored, one in {SAMPLE} was; what hides among them is not found.",
                )
            )
            self._said_at, self._unsaid = now, 0

    def _save(self, model: ScoringModel) -> None:
        if self._figures.scored == self._saved:
            return
        try:
            self._keep(model.save())
            self._saved = self._figures.scored
        except DependencyError as error:
            sentence = f"What was learned cannot be kept for the next start: {error}"
            self._tell(finding_about_itself(self._clock, "behaviour.not_kept", sentence))

    def _now(self) -> int:
        return nanoseconds(self._clock)


def _wake(loop: asyncio.AbstractEventLoop, arrived: asyncio.Event) -> None:
    with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is to be woken
        loop.call_soon_threadsafe(arrived.set)
