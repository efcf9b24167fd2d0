"""The embedded Rego engine: compiles modules once, answers many inputs.

Lives in a process of its own (`worker`): a rule can make the engine run for hours or end its
process, and neither may take the gate with it. Values that the engine cannot take (`EngineError`)
are the caller's to report.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from regopy import Interpreter, RegoError
from regopy.rego_shared import LogLevel, rego_bundle_query_entrypoint, rego_free_output
from regopy.rego_shared import rego_output_string as output_string

from meshwarden.adapters.rego.messages import describe

MAIN: Final = "meshwarden/gate_main"
"""Package of the module that we generate: one object for each group of rules."""


class EngineError(Exception):
    """A module does not compile, or an evaluation failed; the text says which and where."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """What to compile: modules by file name, data, entrypoints, and groups of entrypoints."""

    modules: Sequence[tuple[str, str]]
    data: Mapping[str, Any]
    entrypoints: Sequence[str]
    groups: Sequence[Sequence[int]] = ()


class Engine:
    """A compiled program."""

    def __init__(self, program: Program) -> None:
        self._interpreter = Interpreter()
        self._interpreter.log_level = LogLevel.NONE
        try:
            for name, source in [*program.modules, ("groups", _groups(program))]:
                self._add(name, source)
            self._interpreter.add_data(dict(program.data))
            groups = [f"{MAIN}/g{number}" for number in range(len(program.groups))]
            self._bundle = self._interpreter.build(None, [*program.entrypoints, *groups])
        except RegoError as error:
            raise EngineError(describe(str(error), dict(program.modules))) from error
        if not self._bundle.ok():
            raise EngineError("the rules do not compile together")

    def _add(self, name: str, source: str) -> None:
        self._interpreter.add_module(name, source)

    def set_input(self, value: Mapping[str, Any]) -> None:
        """Take the object to judge.

        As JSON: the engine keeps texts as they are escaped there, and prints them as they came. Fed
        as values, a quotation mark in a manifest would end a text in the engine's answer.
        """
        try:
            self._interpreter.set_input_term(json.dumps(value, ensure_ascii=False, allow_nan=False))
        except (RegoError, TypeError, ValueError, RecursionError) as error:
            raise EngineError(f"the engine does not take this value: {error}") from error

    def query(self, entrypoint: str) -> Any:
        """Return what `entrypoint` is for the input; None where it is undefined."""
        try:
            output = rego_bundle_query_entrypoint(
                self._interpreter._impl, self._bundle._impl, entrypoint
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


def group_entrypoint(number: int) -> str:
    """Return the entrypoint of group `number`: an object of rule number (text) to its answer."""
    return f"{MAIN}/g{number}"


def _groups(program: Program) -> str:
    lines = [f"package {MAIN.replace('/', '.')}", ""]
    for number, members in enumerate(program.groups):
        for member in members:
            path = program.entrypoints[member].replace("/", ".")
            lines.append(f'g{number}["{member}"] := data.{path}')
        lines.append("")
    return "\n".join(lines) + "\n"
