"""One process that evaluates rules, and says at each moment what it is about.

Protocol, over one pipe: the parent sends lists of `Request`; for each list one list of answers
comes back, in the same order. `progress` (shared memory) holds the number of the request that is
being evaluated and, while rules are asked one by one, of the rule: when the process is stuck or
gone, the parent knows by what.
"""

import contextlib
import ctypes
import os
import resource
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, Final

from meshwarden.adapters.rego.engine import ALL, Engine, EngineError, Program

PR_SET_PDEATHSIG: Final = 1  # prctl(2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One object, and the rules (numbers of entrypoints) to ask; all at once, or one by one."""

    value: Mapping[str, Any]
    rules: Sequence[int]
    at_once: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What each rule returned, and what failed, by number of rule; -1 for the input itself."""

    found: Mapping[int, Any]
    failed: Mapping[int, str]


def run(pipe: Connection, program: Program, progress: Any) -> None:
    """Serve until the pipe closes; the first message is None, or why it does not compile."""
    with contextlib.suppress(EOFError, BrokenPipeError, KeyboardInterrupt):
        silence()
        _become_alone()
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        try:
            engine = Engine(program)
        except EngineError as error:
            pipe.send(str(error))
            return
        pipe.send(None)
        while True:
            requests = pipe.recv()
            pipe.send(
                [_answer(engine, program, requests, i, progress) for i in range(len(requests))]
            )


def silence() -> None:
    """Keep what the engine prints off our output: errors come back as values."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(nowhere, number)


def _become_alone() -> None:
    """Leave the parent's signal handling behind, and end when the parent does, however it ends."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _answer(
    engine: Engine, program: Program, requests: Sequence[Request], index: int, progress: Any
) -> Answer:
    request = requests[index]
    progress[0], progress[1] = index, -1
    try:
        engine.set_input(request.value, request.rules)
    except EngineError as error:
        return Answer(found={}, failed={-1: str(error)})
    if request.at_once:
        try:
            found = engine.query(ALL) or {}
            return Answer(found={int(rule): value for rule, value in found.items()}, failed={})
        except EngineError:
            pass  # ask one by one, to learn which rule it is
    return _one_by_one(engine, program, request, progress)


def _one_by_one(engine: Engine, program: Program, request: Request, progress: Any) -> Answer:
    found: dict[int, Any] = {}
    failed: dict[int, str] = {}
    for rule in request.rules:
        progress[1] = rule
        try:
            found[rule] = engine.query(program.entrypoints[rule])
        except EngineError as error:
            failed[rule] = str(error)
    return Answer(found=found, failed=failed)
