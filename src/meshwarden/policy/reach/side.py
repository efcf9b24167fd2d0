"""The other policy's side of one pair in a comparison, and what each change asks of it."""

from collections.abc import Iterable, Iterator
from functools import cached_property
from itertools import count, islice
from typing import Final

from meshwarden.policy.model import Rule
from meshwarden.policy.path import PathPattern
from meshwarden.policy.reach.grant import ANY_PATH, Grant, implies
from meshwarden.policy.reach.tree import FRESH, Segments, Tree, meet

MAX_BESIDES: Final = 8
_COMMON: Final = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "QUERY")


class OtherSide:
    """What one caller may do at one callee by the other policy.

    Args:
        tree: its patterns.
    """

    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        grants = [*tree.meeting(ANY_PATH[0]), *tree.meeting(ANY_PATH[1])]
        self.methods = sorted({m for grant in grants for m in grant.rule.methods or ()})
        self.unlisted_method = next(m for m in (*_COMMON, "OTHER") if m not in self.methods)

    @cached_property
    def free_segment(self) -> str:
        """A segment that no pattern here spells out."""
        literals = self.tree.literals()
        return next(text for text in _free_texts() if text not in literals)

    def uncovered(self, rule: Rule, pattern: PathPattern, method: str | None) -> Segments | None:
        """Return a path that `rule` allows for `method` by `pattern`, and nothing here does."""

        def _allows(grant: Grant) -> bool:
            return grant.takes(method) and implies(rule.token, grant.rule.token)

        return self.tree.uncovered(pattern, _allows)

    def besides(self, pattern: PathPattern, methods: Iterable[str | None]) -> tuple[str, ...]:
        """Return some patterns from here that allow a part of `pattern`."""
        found: dict[str, None] = {}
        for grant in islice(self.tree.meeting(pattern), 8 * MAX_BESIDES):
            if any(grant.takes(method) for method in methods):
                theirs = [each for each in grant.patterns[:64] if meet(each, pattern)]
                found |= dict.fromkeys(each.text for each in theirs)
        return tuple(found)[:MAX_BESIDES]

    def example(self, path: Segments) -> str:
        """Return `path` spelled out."""
        return "/" + "/".join(self.free_segment if part is FRESH else part for part in path)


def _free_texts() -> Iterator[str]:
    yield from ("7", "42", "x")
    yield from (f"x{number}" for number in count(1))
