"""A configuration document whose every value knows the line it stands on.

Policies, mesh files and playbooks are parsed from `Node` trees, so that each error names file, line
and what to do. The readers of formats (YAML) are adapters; here are only the accessors, which fail
closed: a wrong type, a missing key and an unknown key are InputErrors, never defaults.
"""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NoReturn

from meshwarden.kernel.errors import InputError

Scalar = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Node:
    """A scalar, a list or a mapping, and where it stands.

    Attributes:
        value: `Scalar`, a tuple of Nodes, or a dict of Nodes by key.
        where: `file:line`.
        path: dotted path from the top (`services.ledger.accepts[0]`); "" at the top.
    """

    value: "Scalar | tuple[Node, ...] | dict[str, Node]"
    where: str
    path: str = ""

    def refuse(self, code: str, message: str, *, hint: str = "") -> NoReturn:
        """Raise InputError `code` for this place."""
        raise InputError(code, message, where=self.where, hint=hint)

    def mapping(self) -> "dict[str, Node]":
        """Return the keys and values; InputError `document.type` where this is no mapping."""
        if not isinstance(self.value, dict):
            self._wrong("a mapping (key: value)")
        return self.value

    def items(self) -> "Sequence[Node]":
        """Return the list's entries; InputError `document.type` where this is no list."""
        if not isinstance(self.value, tuple):
            self._wrong("a list")
        return self.value

    def text(self) -> str:
        """Return a non-empty string; InputError `document.type` where this is anything else."""
        if not isinstance(self.value, str) or not self.value:
            self._wrong("a text")
        return self.value

    def texts(self) -> list[str]:
        """Return a list of non-empty strings."""
        return [item.text() for item in self.items()]

    def integer(self, low: int, high: int) -> int:
        """Return an integer within [low, high]."""
        if isinstance(self.value, bool) or not isinstance(self.value, int):
            self._wrong(f"a whole number from {low} to {high}")
        if not low <= self.value <= high:
            self._wrong(f"a whole number from {low} to {high}")
        return self.value

    def number(self, low: float, high: float) -> float:
        """Return a number within [low, high]."""
        if isinstance(self.value, bool) or not isinstance(self.value, int | float):
            self._wrong(f"a number from {low} to {high}")
        if not low <= self.value <= high:
            self._wrong(f"a number from {low} to {high}")
        return float(self.value)

    def boolean(self) -> bool:
        """Return true or false."""
        if not isinstance(self.value, bool):
            self._wrong("true or false")
        return self.value

    def fields(self, *, required: Sequence[str] = (), optional: Sequence[str] = ()) -> "Fields":
        """Return the mapping's fields, having refused unknown and missing keys."""
        found = self.mapping()
        known = [*required, *optional]
        for key, node in found.items():
            if key not in known:
                near = difflib.get_close_matches(key, known, n=1)
                node.refuse(
                    "document.unknown_key",
                    f"unknown key {key!r}{self._under()}",
                    hint=f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}",
                )
        for key in required:
            if key not in found:
                self.refuse("document.missing_key", f"missing key {key!r}{self._under()}")
        return Fields(found)

    def _under(self) -> str:
        return f" under {self.path}" if self.path else ""

    def _wrong(self, wanted: str) -> NoReturn:
        kind = (
            "a mapping"
            if isinstance(self.value, dict)
            else "a list"
            if isinstance(self.value, tuple)
            else repr(self.value)[:60]
        )
        self.refuse("document.type", f"{self.path or 'the document'} must be {wanted}, not {kind}")


@dataclass(frozen=True, slots=True)
class Fields:
    """The checked fields of one mapping."""

    _found: Mapping[str, Node]

    def __getitem__(self, key: str) -> Node:
        return self._found[key]

    def get(self, key: str) -> Node | None:
        """Return the field, or None where it is absent or written as null."""
        node = self._found.get(key)
        return None if node is None or node.value is None else node

    def __iter__(self) -> Iterator[str]:
        return iter(self._found)
