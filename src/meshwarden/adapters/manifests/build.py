"""Builds plain Python values from libyaml's events, without recursion and within bounds.

libyaml's own composer recurses in C and dies of deep nesting; its event stream does not. An alias
shares the value of its anchor, so that a document which explodes by aliases costs nothing to read;
its size as others would see it is counted, and bounded.
"""

import re
from dataclasses import dataclass, field
from typing import Any, Final

from yaml import (
    AliasEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)
from yaml._yaml import CParser

MAX_DEPTH: Final = 100
MAX_VALUES: Final = 500_000

_CONSTANTS: Final[dict[str, Any]] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE", "yes", "Yes", "YES", "on", "On", "ON"), True),
    **dict.fromkeys(("false", "False", "FALSE", "no", "No", "NO", "off", "Off", "OFF"), False),
}
_NUMERIC = frozenset("0123456789+-.")
_INT = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,17})")
_OCTAL = re.compile(r"0o?[0-7]{1,20}")
_HEX = re.compile(r"0x[0-9a-fA-F]{1,15}")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]{1,3})?")
_TEXT = "tag:yaml.org,2002:str"


class Broken(Exception):  # noqa: N818  # a signal within this package: becomes a Problem
    """The document cannot be taken as it is; `line` counts from 0 within it."""

    def __init__(self, line: int, code: str, message: str) -> None:
        super().__init__(message)
        self.line = line
        self.code = code
        self.message = message


@dataclass(slots=True)
class _Frame:
    """A list or mapping under construction."""

    value: Any
    anchor: str | None
    key: Any = None
    has_key: bool = False
    size: int = 1
    merged: list[Any] = field(default_factory=list)


def build(parser: CParser) -> Any:
    """Return the value of the one document in `parser`; Broken or YAMLError where it has none."""
    return _Builder().run(parser)


class _Builder:
    def __init__(self) -> None:
        self._anchors: dict[str, tuple[Any, int]] = {}
        self._stack: list[_Frame] = []
        self._root: Any = None

    def run(self, parser: CParser) -> Any:
        while (event := parser.get_event()) is not None:
            kind = type(event)
            if kind is ScalarEvent:
                self._add(_scalar(event), 1, event)
            elif kind is MappingStartEvent:
                self._open({}, event)
            elif kind is SequenceStartEvent:
                self._open([], event)
            elif kind is MappingEndEvent or kind is SequenceEndEvent:
                self._close(event)
            elif kind is AliasEvent:
                self._alias(event)
        return self._root

    def _open(self, value: Any, event: Any) -> None:
        if len(self._stack) >= MAX_DEPTH:
            text = f"nested deeper than {MAX_DEPTH} levels"
            raise Broken(event.start_mark.line, "gate.too_deep", text)
        self._stack.append(_Frame(value, event.anchor))

    def _close(self, event: Any) -> None:
        frame = self._stack.pop()
        for other in frame.merged:
            for key, value in other.items():
                frame.value.setdefault(key, value)
        self._put(frame.value, frame.size, event, frame.anchor)

    def _alias(self, event: Any) -> None:
        if event.anchor not in self._anchors:
            text = f"the alias *{event.anchor[:80]} refers to nothing before it"
            raise Broken(event.start_mark.line, "gate.alias", text)
        value, size = self._anchors[event.anchor]
        self._put(value, size, event, None)

    def _add(self, value: Any, size: int, event: Any) -> None:
        self._put(value, size, event, event.anchor)

    def _put(self, value: Any, size: int, event: Any, anchor: str | None) -> None:
        if anchor is not None:
            self._anchors[anchor] = (value, size)
        if not self._stack:
            self._root = value
            return
        frame = self._stack[-1]
        frame.size += size
        if frame.size > MAX_VALUES:
            text = f"more than {MAX_VALUES} values once its aliases are followed"
            raise Broken(event.start_mark.line, "gate.too_many", text)
        if type(frame.value) is list:
            frame.value.append(value)
        elif not frame.has_key:
            frame.key, frame.has_key = _key(value, event), True
        else:
            self._pair(frame, value, event)

    def _pair(self, frame: _Frame, value: Any, event: Any) -> None:
        frame.has_key = False
        if frame.key == "<<" and isinstance(value, dict | list):
            others = value if isinstance(value, list) else [value]
            frame.merged.extend(other for other in others if isinstance(other, dict))
        elif frame.key in frame.value:
            text = f"the key {frame.key[:80]!r} stands twice in one mapping"
            raise Broken(event.start_mark.line, "gate.duplicate_key", text)
        else:
            frame.value[frame.key] = value


def _key(value: Any, event: Any) -> str:
    if isinstance(event, ScalarEvent):
        return str(event.value)
    if isinstance(value, str):
        return value
    raise Broken(event.start_mark.line, "gate.key", "a key must be a plain text")


def _scalar(event: Any) -> Any:
    text: str = event.value
    if not event.implicit[0] and event.tag in {None, "!", _TEXT}:
        return text
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    return _number(text) if text[0] in _NUMERIC else text


def _number(text: str) -> Any:
    if _INT.fullmatch(text):
        return int(text)
    if _OCTAL.fullmatch(text):
        return int(text.replace("o", ""), 8)
    if _HEX.fullmatch(text):
        return int(text, 16)
    return float(text) if _FLOAT.fullmatch(text) else text
