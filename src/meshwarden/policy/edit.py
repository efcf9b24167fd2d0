"""Adds to a policy's text and leaves everything else as it was written: comments, order, style.

Edits are lines put in at places that the parsed document knows (`Node.where`). The text around them
may be written in ways that this does not understand (lists in braces, odd indentation); so whoever
uses it parses the result and compares what it means with what was wanted, and refuses otherwise.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from meshwarden.kernel import Node

_KEY: Final = r"\s*(?:{name}|\"{name}\"|'{name}')\s*:"


@dataclass(frozen=True, slots=True, kw_only=True)
class Insertion:
    """Lines to put in before line `at` (from 0), instead of `replaces` lines there."""

    at: int
    lines: Sequence[str]
    replaces: int = 0


def apply_insertions(text: str, insertions: Iterable[Insertion]) -> str:
    """Return `text` with all insertions; its line ends stay as they are."""
    end = "\r\n" if "\r\n" in text else "\n"
    lines = text.split(end)
    for each in sorted(insertions, key=lambda insertion: -insertion.at):
        lines[each.at : each.at + each.replaces] = each.lines
    return end.join(lines)


class PolicyText:
    """The text of a policy, with what is needed to add to it.

    Args:
        text: the file's text.
        document: what was parsed from it.
    """

    def __init__(self, text: str, document: Node) -> None:
        self._lines = text.replace("\r\n", "\n").split("\n")
        self._services = document.mapping()["services"].mapping()

    def add_entries(self, service: str, entries: Mapping[str, Sequence[str]]) -> list[Insertion]:
        """Return what adds entries to lists of `service`, or whole fields where it has none.

        Args:
            service: a service of the document.
            entries: lines of list entries by field (`accepts`, `egress`); a field whose one line
                is no entry (`true`) is written after its name.
        """
        node = self._services[service]
        key = self._key_line(service)
        if _line_of(node) == key:
            return [self._unfolded(service, key, entries)]
        found = node.mapping()
        insertions: list[Insertion] = []
        new_fields: list[str] = []
        indent = self._indent(_line_of(node))
        for field, lines in entries.items():
            if field in found:
                insertions.append(self._after_last(found[field], lines))
            else:
                new_fields += [" " * indent + line for line in _field_lines(field, lines)]
        if new_fields:
            insertions.append(Insertion(at=self._end_of(key), lines=new_fields))
        return insertions

    def add_services(self, blocks: Iterable[Sequence[str]]) -> list[Insertion]:
        """Return what adds whole services at the end, indented as the last one."""
        last = max(map(self._key_line, self._services))
        indent = " " * self._indent(last)
        spaced = not self._lines[last - 1].strip()
        lines: list[str] = []
        for block in blocks:
            lines += [""] * spaced + [indent + line for line in block]
        return [Insertion(at=self._end_of(last), lines=lines)] if lines else []

    def add_to_rule(self, service: str, index: int, field: str, entry: str) -> Insertion | None:
        """Return what adds one entry to a list of a rule; None where its text is not understood.

        Args:
            service: a service of the document.
            index: the rule's place in its `accepts`.
            field: `from`, `methods` or `paths`, which the rule has.
            entry: a scalar, unquoted.
        """
        rule = self._services[service].mapping()["accepts"].items()[index]
        node = rule.mapping()[field]
        last = _line_of(node.items()[-1])
        line = self._lines[last]
        if re.match(r"\s*-\s+[^\[{]*$", line) and _line_of(node) > _line_of(rule):
            return Insertion(at=last + 1, lines=[" " * self._indent(last) + f"- {quoted(entry)}"])
        found = re.search(rf"(?<![\w-]){field}\s*:\s*\[", line)
        close = _closing(line, found.end()) if found else None
        if close is None:
            return None
        written = line[:close].rstrip() + f", {quoted(entry)}" + line[close:]
        return Insertion(at=last, lines=[written], replaces=1)

    def comment_above(self, node: Node, mark: str) -> int | None:
        """Return the line (from 0) above `node` where that is a comment that starts with `mark`."""
        above = _line_of(node) - 1
        return above if above >= 0 and self._lines[above].strip().startswith(mark) else None

    def line(self, number: int) -> str:
        """Return a line, counted from 0."""
        return self._lines[number]

    def _key_line(self, service: str) -> int:
        start = _line_of(self._services[service])
        key = re.compile(_KEY.format(name=re.escape(service)))
        found = (at for at in range(start, -1, -1) if key.match(self._lines[at]))
        return next(found, start)

    def _after_last(self, node: Node, lines: Sequence[str]) -> Insertion:
        items = node.items()
        last = _line_of(items[-1]) if items else _line_of(node)
        dash = self._indent(last)
        return Insertion(at=self._end_of(last, dash), lines=[" " * dash + line for line in lines])

    def _unfolded(self, service: str, key: int, entries: Mapping[str, Sequence[str]]) -> Insertion:
        """Write a service in braces on one line as a block, with what is added."""
        line = self._lines[key]
        indent = " " * self._indent(key)
        found = re.fullmatch(r"\s*([^\s:]+)\s*:\s*\{(.*)\}\s*(#.*)?", line)
        inside, comment = (found[2], found[3]) if found else ("", None)
        block = [f"{indent}{service}:" + (f" {comment}" if comment else "")]
        block += [f"{indent}  {part.strip()}" for part in _split_flow(inside)]
        for field, lines in entries.items():
            block += [f"{indent}  {each}" for each in _field_lines(field, lines)]
        return Insertion(at=key, lines=block, replaces=1)

    def _end_of(self, start: int, indent: int | None = None) -> int:
        """Return the line after the block that starts at `start`: all that is indented deeper."""
        limit = self._indent(start) if indent is None else indent
        end = start + 1
        for at in range(start + 1, len(self._lines)):
            stripped = self._lines[at].strip()
            if stripped and self._indent(at) <= limit and not stripped.startswith("#"):
                break
            if stripped and self._indent(at) > limit:
                end = at + 1
        return end

    def _indent(self, line: int) -> int:
        return len(self._lines[line]) - len(self._lines[line].lstrip(" "))


def quoted(text: str) -> str:
    """Return a scalar of YAML: bare where it can mean nothing else.

    >>> quoted("/v1/accounts/{id}"), quoted("/v1/transfers"), quoted("NO")
    ('"/v1/accounts/{id}"', '/v1/transfers', 'NO')
    """
    body = text.replace("/", "").replace(".", "").replace("-", "").replace("_", "")
    bare = (text[:1] == "/" or text[:1].isalpha()) and body.isascii() and body.isalnum()
    if bare and text.lower() not in {"null", "true", "false"}:
        return text
    return json.dumps(text)


def _field_lines(field: str, lines: Sequence[str]) -> list[str]:
    if len(lines) == 1 and not lines[0].startswith("-"):
        return [f"{field}: {lines[0]}"]
    return [f"{field}:", *(f"  {line}" for line in lines)]


def _split_flow(inside: str) -> list[str]:
    """Return the fields of a mapping in braces, parted at the commas outside brackets."""
    parts, start = [], 0
    for at, char, depth in _outside_quotes(inside):
        if char == "," and depth == 0:
            parts.append(inside[start:at])
            start = at + 1
    return [part for part in [*parts, inside[start:]] if part.strip()]


def _closing(line: str, start: int) -> int | None:
    """Return where the bracket closes that was opened just before `start`."""
    return next(
        (start + at for at, char, depth in _outside_quotes(line[start:]) if depth < 0 and char),
        None,
    )


def _outside_quotes(text: str) -> Iterator[tuple[int, str, int]]:
    """Yield place, character and depth of brackets (after it) of all that is not quoted."""
    depth, quote = 0, ""
    for at, char in enumerate(text):
        if quote:
            quote = "" if char == quote else quote
        elif char in "\"'":
            quote = char
        else:
            depth += (char in "[{") - (char in "]}")
            yield at, char, depth


def _line_of(node: Node) -> int:
    return int(node.where.rpartition(":")[2]) - 1
