"""Where the keys of a document stand: found when a finding needs it, not for every value."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from yaml import (
    AliasEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    YAMLError,
)
from yaml._yaml import CParser

from meshwarden.policy.gate.model import Document, Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Line and column of a key or an entry, both from 1, and the last line of its value."""

    line: int
    column: int
    last_line: int


def locate(document: Document, paths: Iterable[Path]) -> dict[Path, Place]:
    """Return the place of each of `paths`; of a key that is absent, the nearest one above it."""
    wanted = set(paths)
    prefixes = {path[:length] for path in wanted for length in range(len(path) + 1)}
    found = _Finder(prefixes, _offset(document)).run(document.raw)
    top = Place(line=document.line, column=1, last_line=document.line)
    return {path: _nearest(path, found, top) for path in wanted}


def _offset(document: Document) -> int:
    """Return the file's line, from 1, on which `document.raw` begins."""
    lead = 0
    for line in document.raw.split(b"\n"):
        text = line.strip()
        if text and not text.startswith((b"#", b"%")) and text != b"---":
            break
        lead += 1
    return document.line - lead


def _nearest(path: Path, found: dict[Path, Place], top: Place) -> Place:
    for length in range(len(path), 0, -1):
        if path[:length] in found:
            return found[path[:length]]
    return top


class _Finder:
    """Follows events with the path of what is read; a merged key counts for its parent."""

    def __init__(self, wanted: set[Path], offset: int) -> None:
        self._wanted = wanted
        self._offset = offset
        self._stack: list[list[Any]] = []  # [is mapping, key or index, path, mark of key]
        self.found: dict[Path, Place] = {}

    def run(self, raw: bytes) -> dict[Path, Place]:
        try:
            parser = CParser(raw)
            while (event := parser.get_event()) is not None:
                self._step(event)
        except YAMLError:  # JSON that YAML does not take: what was found so far is right
            pass
        return self.found

    def _step(self, event: Any) -> None:
        kind = type(event)
        if kind is MappingEndEvent or kind is SequenceEndEvent:
            self._stack.pop()
            self._done(event)
        elif kind is ScalarEvent or kind is AliasEvent:
            if self._expects_key():
                self._stack[-1][1], self._stack[-1][3] = event.value, event.start_mark
                return
            self._place(event)
            self._done(event)
        elif kind is MappingStartEvent or kind is SequenceStartEvent:
            path = self._place(event)
            mapping = kind is MappingStartEvent
            self._stack.append([mapping, None if mapping else 0, path, None])

    def _expects_key(self) -> bool:
        return bool(self._stack) and self._stack[-1][0] and self._stack[-1][3] is None

    def _path(self) -> Path:
        if not self._stack:
            return ()
        _, key, path, _ = self._stack[-1]
        return (*path, key) if path is not None else ("?",)

    def _place(self, event: Any) -> Path | None:
        """Note where the value that begins here stands; return its path if any below is wanted."""
        if not self._stack:
            return ()
        if self._stack[-1][2] is None:
            return None
        path = self._path()
        if path not in self._wanted:
            return None
        mark = self._stack[-1][3] or event.start_mark
        line = self._offset + mark.line
        self.found[path] = Place(line=line, column=mark.column + 1, last_line=line)
        return path

    def _done(self, event: Any) -> None:
        """Step to the next key or entry; note where the value ended."""
        if not self._stack:
            return
        frame = self._stack[-1]
        if frame[2] is not None and (path := self._path()) in self.found:
            place = self.found[path]
            end = self._offset + event.end_mark.line - (event.end_mark.column == 0)
            self.found[path] = Place(
                line=place.line, column=place.column, last_line=max(end, place.line)
            )
        if frame[0]:
            frame[3] = None
        else:
            frame[1] += 1
