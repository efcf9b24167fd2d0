"""Evaluates many objects in worker processes; none of them can hang or end the gate.

Work goes out in chunks, to as many processes as there are cores and chunks. A process that makes no
progress for `limit_s`, or ends, is replaced; the object that it was about is asked again rule by
rule, so that one rule is to blame and all others still answer.
"""

import multiprocessing
import os
import time
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, Final, Self

from meshwarden.adapters.rego.engine import Program
from meshwarden.adapters.rego.worker import Answer, Request, run
from meshwarden.kernel import ConfigError, DependencyError

Outcome = Answer
CHUNK: Final = 25
LIMIT_S: Final = 20.0
"""For one object. All rules together need milliseconds; on a busy machine a hundred times that."""

COMPILE_S: Final = 120.0
MOST_BLAMED: Final = 2
"""After so many objects on which a rule was too slow it is not asked again in this run."""

MAX_BYTES: Final = 1024 * 1024 * 1024
"""Resident memory that a worker adds to what it was forked with, looked at while it evaluates. The
engine reserves far more address space than it uses, so that no limit of the system can hold it."""

_PAGE = os.sysconf("SC_PAGE_SIZE")
_FORK = multiprocessing.get_context("fork")  # the program is handed over as it is in memory


@dataclass(slots=True)
class _Task:
    """Requests that go out together, by their numbers; `blamed` are rules not to ask again."""

    numbers: list[int]
    single: bool = False
    failed: dict[int, str] = field(default_factory=dict)


class _Worker:
    """A process, the task that it is at, and when it last made progress."""

    def __init__(self, program: Program) -> None:
        self.progress: Any = _FORK.Array("q", 2, lock=False)
        self._inherited = _resident("self")
        self.pipe, theirs = _FORK.Pipe()
        self.process = _FORK.Process(target=run, args=(theirs, program, self.progress), daemon=True)
        self.process.start()
        theirs.close()
        self.task: _Task | None = None
        self.ready = False
        self.last = (0, 0)
        self.since = time.monotonic()

    def stuck(self, limit_s: float) -> str:
        """Return why it has to be ended, or ""."""
        now, at = time.monotonic(), (self.progress[0], self.progress[1])
        if at != self.last:
            self.last, self.since = at, now
        limit_s = limit_s if self.ready else COMPILE_S
        if now - self.since > limit_s:
            return f"took over {limit_s:g} s"
        own = _resident(self.process.pid) - self._inherited
        return "took too much memory" if own > MAX_BYTES else ""

    def end(self) -> None:
        self.process.kill()
        self.process.join()
        self.pipe.close()


def _resident(process: int | str | None) -> int:
    """Return the octets of resident memory of a process; 0 where it has just ended."""
    try:
        pages = Path(f"/proc/{process}/statm").read_text().split()[1]
    except (OSError, IndexError):
        return 0
    return int(pages) * _PAGE


class Pool:
    """Worker processes for one program; a context manager."""

    def __init__(
        self, program: Program, *, workers: int | None = None, limit_s: float = LIMIT_S
    ) -> None:
        self._program = program
        self._limit_s = limit_s
        self._most = workers or len(os.sched_getaffinity(0))
        self._workers: list[_Worker] = []
        self._blamed: Counter[int] = Counter()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers:
            worker.end()
        self._workers.clear()

    def start(self, count: int) -> None:
        """Start up to `count` workers ahead of the work."""
        while len(self._workers) < min(count, self._most):
            self._workers.append(_Worker(self._program))

    def warm(self) -> None:
        """Start all workers and wait until they have compiled; ConfigError `gate.compile`."""
        self.start(self._most)
        while not all(worker.ready for worker in self._workers):
            self._collect(deque(), (), {})

    def evaluate(self, requests: Sequence[Request]) -> list[Answer]:
        """Return the answer to each request, in order.

        Raises:
            ConfigError: `gate.compile` where the rules do not compile.
            DependencyError: `gate.engine` where the engine cannot be started.
        """
        starts = range(0, len(requests), CHUNK)
        todo = deque(
            _Task(list(range(start, min(start + CHUNK, len(requests))))) for start in starts
        )
        answers: dict[int, Answer] = {}
        self.start(len(todo))
        while len(answers) < len(requests):
            for worker in self._workers:
                if worker.ready and worker.task is None and todo:
                    self._send(worker, todo.popleft(), requests)
            self._collect(todo, requests, answers)
        return [answers[number] for number in range(len(requests))]

    def _send(self, worker: _Worker, task: _Task, requests: Sequence[Request]) -> None:
        worker.task, worker.last, worker.since = task, (-1, -1), time.monotonic()
        chosen = [requests[number] for number in task.numbers]
        if task.single:
            kept = [rule for rule in chosen[0].rules if rule not in task.failed]
            chosen = [replace(chosen[0], rules=kept, at_once=False)]
        if banned := self._banned():
            chosen = [
                replace(
                    one, rules=[rule for rule in one.rules if rule not in banned], at_once=False
                )
                for one in chosen
            ]
        worker.progress[0], worker.progress[1] = 0, -1
        worker.pipe.send(chosen)

    def _banned(self) -> set[int]:
        """Rules that took the time limit, or a process, too often to be asked again."""
        return {rule for rule, times in self._blamed.items() if times >= MOST_BLAMED}

    def _collect(
        self, todo: deque[_Task], requests: Sequence[Request], answers: dict[int, Answer]
    ) -> None:
        pipes: list[Connection] = [worker.pipe for worker in self._workers]
        ready = wait(pipes, timeout=0.25)
        for worker in list(self._workers):
            if worker.pipe in ready:
                self._receive(worker, todo, requests, answers)
            elif why := worker.stuck(self._limit_s):
                self._lost(worker, todo, answers, why)

    def _receive(
        self,
        worker: _Worker,
        todo: deque[_Task],
        requests: Sequence[Request],
        answers: dict[int, Answer],
    ) -> None:
        try:
            message = worker.pipe.recv()
        except (EOFError, ConnectionResetError):
            self._lost(worker, todo, answers, "ended the engine")
            return
        if not worker.ready:
            if message is not None:
                raise ConfigError("gate.compile", f"the rules do not compile: {message}")
            worker.ready = True
            return
        task, worker.task = worker.task, None
        if task is None:
            raise DependencyError("gate.engine", "the engine answered what was not asked")
        for number, answer in zip(task.numbers, message, strict=True):
            given_up = {
                rule: f"was given up after it failed {MOST_BLAMED} objects"
                for rule in self._banned() & set(requests[number].rules)
                if rule not in answer.found
            }
            failed = {**given_up, **answer.failed, **task.failed}
            answers[number] = Answer(found=answer.found, failed=failed)

    def _lost(
        self,
        worker: _Worker,
        todo: deque[_Task],
        answers: dict[int, Answer],
        why: str,
    ) -> None:
        """Replace a worker that is stuck or gone; ask again what it had not answered."""
        index, rule = worker.progress[0], worker.progress[1]
        task, was_ready = worker.task, worker.ready
        worker.end()
        self._workers.remove(worker)
        if not was_ready:
            hint = "remove rules until it does; the shipped ones are tested"
            raise ConfigError("gate.compile", f"the rules do not compile: this {why}", hint=hint)
        self._workers.append(_Worker(self._program))
        if task is None:
            return
        culprit = task.numbers[index]
        if not task.single:
            others = [number for number in task.numbers if number != culprit]
            if others:
                todo.appendleft(_Task(others))
            todo.appendleft(_Task([culprit], single=True))
        elif rule < 0:
            answers[culprit] = Answer(found={}, failed={**task.failed, -1: why})
        else:
            self._blamed[rule] += 1
            todo.appendleft(_Task([culprit], single=True, failed={**task.failed, rule: why}))
