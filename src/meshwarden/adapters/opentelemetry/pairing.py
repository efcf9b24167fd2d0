"""Joins the client's span with the server's into one call; pure, and bounded.

A server's span whose parent is a client's span of the same trace is the same call: the server's
account wins, the caller is who made the client's span. A span that comes again is ignored. They
come in any order, from different exporters, so each waits for the other until so many spans came
after it that it is given up: a server's alone is a call of `unknown` (or, without a parent, of the
outside), a client's alone a call of whom it says it called. Consumers and producers likewise, by
parent or link.
"""

from collections.abc import Iterator
from typing import Final

from meshwarden.adapters.opentelemetry.meaning import callee_of, caller_of, party_of, row_of
from meshwarden.adapters.opentelemetry.span import Kind, Span
from meshwarden.adapters.sources.repeats import Repeats
from meshwarden.adapters.sources.row import CLUSTER_DOMAIN, Row

WAITING: Final = 100_000
_Key = tuple[str, str]


class Pairing:
    """Spans that wait for their other half.

    Args:
        domain: trust domain of names.
        waiting: spans that wait at most, of each kind.
    """

    def __init__(self, *, domain: str = CLUSTER_DOMAIN, waiting: int = WAITING) -> None:
        self._domain = domain
        self._most = waiting
        self._callers: dict[_Key, tuple[Span, bool]] = {}
        self._callees: dict[_Key, list[Span]] = {}
        self._held = 0
        self._repeats = Repeats()

    def add(self, span: Span) -> Iterator[Row]:
        """Return the calls that `span` completes, and those that are given up to make room."""
        if self._repeats.known((span.trace, span.id)):
            return
        if span.kind in {Kind.CLIENT, Kind.PRODUCER}:
            yield from self._caller(span)
        else:
            yield from self._callee(span)
        yield from self._bounded(self._most)

    def finish(self) -> Iterator[Row]:
        """Return all that still waited, as the calls that they are alone."""
        yield from self._bounded(0)

    def _caller(self, span: Span) -> Iterator[Row]:
        key = (span.trace, span.id)
        waiting = self._callees.pop(key, [])
        self._held -= len(waiting)
        self._callers[key] = (span, bool(waiting))
        for callee in waiting:
            yield self._pair(span, callee)

    def _callee(self, span: Span) -> Iterator[Row]:
        keys = [(span.trace, span.parent), *span.links] if span.parent else list(span.links)
        for key in keys:
            found = self._callers.get(key)
            if found is not None:
                self._callers[key] = (found[0], True)
                yield self._pair(found[0], span)
                return
        if not keys:
            yield self._alone(span)
            return
        self._callees.setdefault(keys[0], []).append(span)
        self._held += 1

    def _bounded(self, most: int) -> Iterator[Row]:
        """Give up the oldest beyond `most`."""
        while len(self._callers) > most:
            span, paired = self._callers.pop(next(iter(self._callers)))
            if not paired:
                yield self._alone(span)
        while self._held > most:
            spans = self._callees.pop(next(iter(self._callees)))
            self._held -= len(spans)
            for span in spans:
                yield self._alone(span)

    def _pair(self, caller: Span, callee: Span) -> Row:
        source = party_of(caller, self._domain)
        return row_of(
            callee, source=source, destination=party_of(callee, self._domain), caller=caller
        )

    def _alone(self, span: Span) -> Row:
        own = party_of(span, self._domain)
        if span.kind in {Kind.CLIENT, Kind.PRODUCER}:
            callee = callee_of(span, self._domain)
            return row_of(span, source=own, destination=callee, caller=None)
        return row_of(span, source=caller_of(span), destination=own, caller=None)
