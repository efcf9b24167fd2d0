"""The embedded Rego engine: compiles modules once, answers many inputs.

Lives in a process of its own (`worker`): a rule can make the engine run for hours or end its
process, and neither may take the gate with it. Values that the engine cannot take (`EngineError`)
are the caller's to report.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from regopy import Interpreter, RegoError
from regopy.rego_shared import LogLevel, rego_bundle_query_entrypoint, rego_free_output
from regopy.rego_shared import rego_output_string as output_string

from meshwarden.adapters.rego.messages import describe

ALL: Final = "meshwarden/gate_main/all"
"""Entrypoint of the module that we generate: what each rule that was asked returns, by its number.

One query for all of them: a query costs as much as several rules, and what rules share is worked
out once in it."""

ASKED: Final = "meshwarden.dev/asked"
"""Key of the input under which stand the numbers of the rules that are asked."""


class EngineError(Exception):
    """A module does not compile, or an evaluation failed; the text says which and where."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """What to compile: modules by file name, data, and the rules' entrypoints."""

    modules: Sequence[tuple[str, str]]
    data: Mapping[str, Any]
    entrypoints: Sequence[str]


class Engine:
    """A compiled program."""

    def __init__(self, program: Program) -> None:
        self._interpreter = Interpreter()
        self._interpreter.log_level = LogLevel.NONE
        try:
            for name, source in [*program.modules, ("gate_main", _main(program))]:
                self._add(name, source)
            self._interpreter.add_data(dict(program.data))
            self._bundle = self._interpreter.build(None, [*program.entrypoints, ALL])
        except RegoError as error:
            raise EngineError(describe(str(error), dict(program.modules))) from error
        if not self._bundle.ok():
            raise EngineError("the rules do not compile together")

    def _add(self, name: str, source: str) -> None:
        self._interpreter.add_module(name, source)

    def set_input(self, value: Mapping[str, Any], asked: Iterable[int] = ()) -> None:
        """Take the object to judge.

        As JSON: the engine keeps texts as they are escaped there, and prints them as they came. Fed
        as values, a quotation mark in a manifest would end a text in the engine's answer.
        """
        try:
            value = {**value, ASKED: {str(number): True for number in asked}}
            self._interpreter.set_input_term(json.dumps(value, ensure_ascii=False, allow_nan=False))
        except (RegoError, TypeError, ValueError, RecursionError) as error:
            raise EngineError(f"the engine does not take this value: {error}") from error

    def query(self, entrypoint: str) -> Any:
        """Return what `entrypoint` is for the input; None where it is undefined."""
        try:
            # regopy's own Output parses the text a second time and hides what it cannot parse
            output = rego_bundle_query_entrypoint(
                self._interpreter._impl,  # noqa: SLF001
                self._bundle._impl,  # noqa: SLF001
                entrypoint,
            )
        except RegoError as error:
            raise EngineError(describe(str(error), {})) from error
        try:
            text = output_string(output)
        finally:
            rego_free_output(output)
        if text == "undefined":
            return None
        try:
            expressions = json.loads(text).get("expressions")
        except ValueError as error:
            raise EngineError(describe(text, {})) from error
        return expressions[0] if expressions else None


def _main(program: Program) -> str:
    lines = ["package meshwarden.gate_main", ""]
    for number, entrypoint in enumerate(program.entrypoints):
        path = entrypoint.replace("/", ".")
        lines.append(f'all["{number}"] := data.{path} if input["{ASKED}"]["{number}"]')
    return "\n".join(lines) + "\n"
