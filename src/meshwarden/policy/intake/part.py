"""A value within a manifest, which may be of any shape, and what could not be represented."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from meshwarden.policy.gate.model import Path, Subject


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """Something that an access policy does not say as the manifest does.

    Attributes:
        subject: the object.
        path: of the value in it.
        what: one sentence.
        wider: whether the text allows more for it; else it allows less, or as much.
    """

    subject: Subject
    path: Path
    what: str
    wider: bool = False


@dataclass(frozen=True, slots=True)
class Part:
    """A value and its place; what is of another shape than asked for is as if it were empty."""

    subject: Subject
    value: Any
    path: Path = ()

    def at(self, *keys: str) -> "Part":
        """Return what lies at `keys`; a Part of None where nothing does."""
        value: Any = self.value
        for key in keys:
            value = value.get(key) if isinstance(value, dict) else None
        return Part(self.subject, value, (*self.path, *keys))

    def each(self) -> Iterator["Part"]:
        """Yield the entries of a list."""
        if isinstance(self.value, list):
            for index, value in enumerate(self.value):
                yield Part(self.subject, value, (*self.path, index))

    def names(self) -> set[str]:
        """Return the keys of a mapping."""
        return set(self.value) if isinstance(self.value, dict) else set()

    def has(self, key: str) -> bool:
        """Return whether a mapping has `key`, with whatever value."""
        return isinstance(self.value, dict) and key in self.value

    def text(self) -> str:
        """Return a text; "" for anything else."""
        return self.value if isinstance(self.value, str) else ""

    def labels(self) -> dict[str, str]:
        """Return a mapping of texts."""
        found = self.value if isinstance(self.value, dict) else {}
        return {key: value for key, value in found.items() if isinstance(value, str)}

    def leave_out(self, what: str, *, wider: bool = False) -> LeftOut:
        """Return the note that this could not be represented."""
        return LeftOut(subject=self.subject, path=self.path, what=what, wider=wider)


def spec_of(subject: Subject) -> Part:
    """Return the specification of an object."""
    return Part(subject, subject.value).at("spec")
