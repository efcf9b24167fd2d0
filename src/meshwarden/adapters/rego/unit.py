"""Runs Rego unit tests as OPA does: every `test_...` rule of `*_test.rego` must be true.

Each file of tests is asked in a process of its own: a test that ends the engine, or does not end
itself, is a failed test and not the end of the run.
"""

import multiprocessing
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final

from regopy import Interpreter, RegoError
from regopy.rego_shared import LogLevel

from meshwarden.adapters.rego.messages import describe
from meshwarden.adapters.rego.worker import silence

LIMIT_S: Final = 30.0
_PACKAGE = re.compile(r"^package[ \t]+([A-Za-z0-9_.]+)", re.MULTILINE)
_TEST = re.compile(r"^(test_[A-Za-z0-9_]+)\b", re.MULTILINE)
_FORK = multiprocessing.get_context("fork")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tested:
    """One test and its outcome; `why` is empty where it passed."""

    where: str
    name: str
    why: str


def run_tests(folder: Path, modules: Sequence[tuple[str, str]]) -> Iterator[Tested]:
    """Yield the outcome of each test in `folder` and below, with `modules` beside them."""
    for path in sorted(folder.rglob("*_test.rego")):
        source = path.read_text()
        package = _PACKAGE.search(source)
        names = list(dict.fromkeys(_TEST.findall(source)))
        if package is None or not names:
            yield Tested(where=str(path), name="-", why="no package, or no test_ rule")
            continue
        program = [*modules, (str(path), source)]
        for name in names:
            why = _ask(program, f"data.{package[1]}.{name}")
            yield Tested(where=str(path), name=name, why=why)


def _ask(program: Sequence[tuple[str, str]], query: str) -> str:
    ours, theirs = _FORK.Pipe()
    process = _FORK.Process(target=_run, args=(theirs, program, query), daemon=True)
    process.start()
    theirs.close()
    try:
        why = ours.recv() if ours.poll(LIMIT_S) else f"took over {LIMIT_S:g} s"
    except EOFError:
        why = "ended the engine"
    process.kill()
    process.join()
    return str(why)


def _run(pipe: Connection, program: Sequence[tuple[str, str]], query: str) -> None:
    silence()
    engine = Interpreter()
    engine.log_level = LogLevel.NONE
    try:
        for name, source in program:
            engine.add_module(name, source)
        text = str(engine.query(query))
    except (RegoError, ValueError) as error:
        pipe.send(describe(str(error), dict(program)))
        return
    pipe.send("" if text == '{"expressions":[true]}' else f"is {text[:100]}")
