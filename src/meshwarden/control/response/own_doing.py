"""What of the recorded calls is our own doing, and says nothing of how anybody behaves.

That is a probe (refused, and shown a certificate or opened by us), a call to a suspect that we had
cut off, and what fails at a suspect, or for it, because we slow it down: who fails there must not
be suspected for it, or one response would bring the next.
"""

from collections import deque
from dataclasses import dataclass, field, replace
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from meshwarden.control.watching.findings import nanoseconds
from meshwarden.identity import Svid
from meshwarden.kernel import Clock

MAX_KEPT: Final = 200
_SLACK: Final = 5_000_000
_LASTS: Final = 3 * 10**9
_BEFORE: Final = 20 * 10**9  # a call is timed by its begin, and may have waited for an answer
_AFTER: Final = 5 * 10**9
_FOREVER: Final = 1 << 62
_TOO_MANY, _FAILS = 429, 500  # statuses


@dataclass(frozen=True, slots=True)
class _Shown:
    """A certificate that a probe shows."""

    svid: Svid

    def fits(self, calls: pa.Table) -> pa.ChunkedArray:
        """Return which of `calls` may be of this probe."""
        shown = _is(calls, "source_certificate", self.svid.sha256)
        claimed = _is(calls, "claimed", str(self.svid.identity))
        return pc.and_(calls["denied"], pc.or_(shown, claimed))


@dataclass(frozen=True, slots=True)
class _Opened:
    """A connection that a probe opens from an address."""

    host: str
    port: int

    def fits(self, calls: pa.Table) -> pa.ChunkedArray:
        """Return which of `calls` are of this connection."""
        port = pc.equal(calls["source_port"], self.port).fill_null(False)
        there = pc.and_(port, _is(calls, "source_instance", self.host))
        return pc.and_(calls["denied"], there)


@dataclass(frozen=True, slots=True)
class _Away:
    """An identity that is cut off."""

    identity: str

    def fits(self, calls: pa.Table) -> pa.ChunkedArray:
        """Return which of `calls` fail for that."""
        return _is(calls, "destination", self.identity)


@dataclass(frozen=True, slots=True)
class _Slowed:
    """An identity that may send only so much."""

    identity: str

    def fits(self, calls: pa.Table) -> pa.ChunkedArray:
        """Return which of `calls` fail for that."""
        beyond = pc.equal(calls["status"], _TOO_MANY).fill_null(False)
        fails = pc.greater_equal(calls["status"], _FAILS).fill_null(False)
        own = pc.and_(_is(calls, "source", self.identity), beyond)
        return pc.or_(own, pc.and_(_is(calls, "destination", self.identity), fails))


@dataclass(frozen=True, slots=True)
class _Span:
    """What was done, from `since` until `until`, nanoseconds since the epoch."""

    what: _Shown | _Opened | _Away | _Slowed
    since: int
    until: int = _FOREVER


@dataclass(kw_only=True)
class OwnDoing:
    """What was done, and when: the latest `MAX_KEPT` probes, and as many suspects.

    Attributes:
        clock: by which calls are timed.
    """

    clock: Clock
    _suspects: deque[_Span] = field(default_factory=lambda: deque(maxlen=MAX_KEPT))
    _probes: deque[_Span] = field(default_factory=lambda: deque(maxlen=MAX_KEPT))

    def others(self, calls: pa.Table) -> pa.Table:
        """Return `calls` without what is our own doing."""
        times = pc.min_max(calls["time"].cast(pa.int64())).as_py()
        for span in [*self._probes, *self._suspects]:
            if calls.num_rows and span.since <= times["max"] and times["min"] <= span.until:
                during = _during(calls, span.since, span.until)
                calls = calls.filter(pc.invert(pc.and_(span.what.fits(calls), during)))
        return calls

    def shows(self, svid: Svid) -> None:
        """Note that a probe shows `svid` from now on."""
        self._probe(_Shown(svid), self.now())

    def opened(self, address: tuple[str, int], *, since: int) -> None:
        """Note that a probe opened a connection from `address` at `since` or a little later."""
        self._probe(_Opened(*address), since)

    def went(self, identity: str) -> None:
        """Note that `identity` is cut off from now on."""
        self._suspects.append(_Span(_Away(identity), self.now() - _BEFORE))

    def came_back(self, identity: str) -> None:
        """Note that `identity` serves again; what was under way ends in a moment."""
        self._end(_Away(identity))

    def slowed(self, identity: str) -> None:
        """Note that `identity` may send only so much from now on."""
        self._suspects.append(_Span(_Slowed(identity), self.now() - _BEFORE))

    def freed(self, identity: str) -> None:
        """Note that `identity` may send what it wants again."""
        self._end(_Slowed(identity))

    def _probe(self, what: _Shown | _Opened, since: int) -> None:
        self._probes.append(_Span(what, since - _SLACK, since + _LASTS))

    def _end(self, what: _Away | _Slowed) -> None:
        until = self.now() + _AFTER
        self._suspects = deque(
            (
                replace(span, until=min(span.until, until)) if span.what == what else span
                for span in self._suspects
            ),
            maxlen=MAX_KEPT,
        )

    def now(self) -> int:
        """Return the time in nanoseconds since the epoch."""
        return nanoseconds(self.clock)


def _during(calls: pa.Table, since: int, until: int) -> pa.ChunkedArray:
    """Return which of `calls` began in that time."""
    time = calls["time"].cast(pa.int64())
    return pc.and_(pc.greater_equal(time, since), pc.less_equal(time, until))


def _is(calls: pa.Table, column: str, text: str) -> pa.ChunkedArray:
    """Return where a column holds `text`; unknown is no."""
    return pc.equal(calls[column].cast(pa.string()), text).fill_null(False)
