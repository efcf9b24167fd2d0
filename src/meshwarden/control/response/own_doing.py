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
    """A certificate that a probe shows, from `since` (nanoseconds since the epoch) on."""

    svid: Svid
    since: int

    def fits(self, calls: pa.Table) -> pa.ChunkedArray:
        """Return which of `calls` may be of this probe."""
        shown = _is(calls, "source_certificate", self.svid.sha256)
        claimed = _is(calls, "claimed", str(self.svid.identity))
        return pc.and_(
            _during(calls, self.since - _SLACK, self.since + _LASTS), pc.or_(shown, claimed)
        )


@dataclass(frozen=True, slots=True)
class _Opened:
    """A connection that a probe opens from an address, from `since` on."""

    host: str
    port: int
    since: int

    def fits(self, calls: pa.Table) -> pa.ChunkedArray:
        """Return which of `calls` are of this connection."""
        there = pc.and_(
            pc.equal(calls["source_port"], self.port).fill_null(False),
            _is(calls, "source_instance", self.host),
        )
        return pc.and_(_during(calls, self.since - _SLACK, self.since + _LASTS), there)


@dataclass(frozen=True, slots=True)
class _Span:
    """A time in which an identity is cut off or, if `slowed`, may send only so much."""

    identity: str
    slowed: bool
    since: int
    until: int = _FOREVER

    def fits(self, calls: pa.Table) -> pa.ChunkedArray:
        """Return which of `calls` fail for that."""
        of = _is(calls, "destination", self.identity)
        if self.slowed:
            fails = pc.greater_equal(calls["status"], _FAILS).fill_null(False)
            beyond = pc.equal(calls["status"], _TOO_MANY).fill_null(False)
            own = pc.and_(_is(calls, "source", self.identity), beyond)
            of = pc.or_(pc.and_(of, fails), own)
        return pc.and_(of, _during(calls, self.since, self.until))


@dataclass(kw_only=True)
class OwnDoing:
    """What was done, and when; the latest `MAX_KEPT` of each kind are kept.

    Attributes:
        clock: by which calls are timed.
    """

    clock: Clock
    _spans: deque[_Span] = field(default_factory=lambda: deque(maxlen=MAX_KEPT))
    _probes: deque[_Shown | _Opened] = field(default_factory=lambda: deque(maxlen=MAX_KEPT))

    def others(self, calls: pa.Table) -> pa.Table:
        """Return `calls` without what is our own doing."""
        for probe in list(self._probes):
            calls = calls.filter(pc.invert(pc.and_(calls["denied"], probe.fits(calls))))
        for span in list(self._spans):
            calls = calls.filter(pc.invert(span.fits(calls)))
        return calls

    def shows(self, svid: Svid) -> None:
        """Note that a probe shows `svid` from now on."""
        self._probes.append(_Shown(svid, self.now()))

    def opened(self, address: tuple[str, int], *, since: int) -> None:
        """Note that a probe opened a connection from `address` at `since` or a little later."""
        self._probes.append(_Opened(*address, since))

    def went(self, identity: str) -> None:
        """Note that `identity` is cut off from now on."""
        self._spans.append(_Span(identity, slowed=False, since=self.now() - _BEFORE))

    def came_back(self, identity: str) -> None:
        """Note that `identity` serves again; what was under way ends in a moment."""
        self._end(identity, slowed=False)

    def slowed(self, identity: str) -> None:
        """Note that `identity` may send only so much from now on."""
        self._spans.append(_Span(identity, slowed=True, since=self.now() - _BEFORE))

    def freed(self, identity: str) -> None:
        """Note that `identity` may send what it wants again."""
        self._end(identity, slowed=True)

    def _end(self, identity: str, *, slowed: bool) -> None:
        until = self.now() + _AFTER
        self._spans = deque(
            (
                replace(span, until=min(span.until, until))
                if (span.identity, span.slowed) == (identity, slowed)
                else span
                for span in self._spans
            ),
            maxlen=MAX_KEPT,
        )

    def now(self) -> int:
        """Return the time in nanoseconds since the epoch."""
        return int(self.clock.now().timestamp() * 1e9)


def _during(calls: pa.Table, since: int, until: int) -> pa.ChunkedArray:
    """Return which of `calls` began in that time."""
    time = calls["time"].cast(pa.int64())
    return pc.and_(pc.greater_equal(time, since), pc.less_equal(time, until))


def _is(calls: pa.Table, column: str, text: str) -> pa.ChunkedArray:
    """Return where a column holds `text`; unknown is no."""
    return pc.equal(calls[column].cast(pa.string()), text).fill_null(False)
