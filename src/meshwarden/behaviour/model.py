"""`Model`: calls in, scores and findings out, in one pass, in bounded memory.

Each call is placed (`ground`), scored and then learned by every detector, and the surprises become
one rate and perhaps an alarm (`alarms`). What alarms is learned from by nobody for a while; that
feedback and the calibration change only at each new hour and after every 4,096th call, counted
since the beginning, so results do not depend on how the stream is cut into batches.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import cache
from typing import Any, Final, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from meshwarden.behaviour.alarms import Alarms
from meshwarden.behaviour.archive import layout_of, pack, unpack
from meshwarden.behaviour.budget import ALARM
from meshwarden.behaviour.clock import FAR, tick
from meshwarden.behaviour.declared import (
    ALLOWED,
    DENIED,
    GRACE,
    RELEASE,
    Declared,
    expect,
    in_grace,
)
from meshwarden.behaviour.describe import describe, parties_of
from meshwarden.behaviour.detectors import build
from meshwarden.behaviour.detectors.contract import silent
from meshwarden.behaviour.encode import Calls, KnownNames, encode
from meshwarden.behaviour.findings import Alarm, finding_of, spoken, text
from meshwarden.behaviour.ground import Ground, Placed
from meshwarden.behaviour.names import Names
from meshwarden.behaviour.outcomes import OUTCOMES
from meshwarden.behaviour.recent import Recent, call_line
from meshwarden.behaviour.settings import Settings
from meshwarden.behaviour.verdict import Verdict
from meshwarden.kernel import ConfigError, Finding, InputError

_CHUNK: Final = 4096
_HOUR: Final = 3_600_000_000_000
_HEARD_IN_GRACE: Final = ("scan", "credentials")  # families that no release explains
_MOST_VERDICTS: Final = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """What the model says about some calls.

    Attributes:
        score: float64[n], higher is stranger: -log10 of how many such groups a day are expected.
        alert: bool[n], true only where an alarm is raised.
        loudest: int16[n], place in `channels` of what speaks loudest; -1 where nothing does.
        channels: the model's.
        findings: one for each alarm, and for each time that what alarmed became rarer by far.
    """

    score: NDArray[np.float64]
    alert: NDArray[np.bool_]
    loudest: NDArray[np.int16]
    channels: tuple[str, ...]
    findings: tuple[Finding, ...]

    @property
    def channel(self) -> pa.DictionaryArray:
        """Name of what speaks loudest, of each call; "" where nothing does."""
        return pa.DictionaryArray.from_arrays(self.loudest + 1, ["", *self.channels])


class Model:
    """Learns what is normal between identities and says what is not.

    Args:
        settings: see `Settings`.
        declared: a policy as prior knowledge: what it allows surprises less, what it denies more.
    """

    def __init__(self, settings: Settings | None = None, declared: Declared | None = None) -> None:
        self.settings = settings or Settings()
        self.declared = declared
        self.ground = Ground(self.settings)
        self.names = Names(1 << self.settings.node_bits)
        self._known = KnownNames()
        self.detectors = build(self.settings)
        self.channels = tuple(c for d in self.detectors for c in d.channels)
        family = [f for d in self.detectors for f in d.families]
        self.families = tuple(dict.fromkeys(family))
        subjects = [k for d in self.detectors for k in d.subjects] + [0] * (len(self.families) + 1)
        self._spared = np.array([f not in _HEARD_IN_GRACE for f in family])
        self.alarms = Alarms(
            self.settings,
            np.array(subjects, np.int8),
            np.array([self.families.index(f) for f in family], np.int8),
        )
        self.verdicts: list[Verdict] = []
        self.suppressed = 0
        self.releases = np.zeros(1 << self.settings.node_bits, RELEASE)
        self.brought = np.zeros(1 << self.settings.edge_bits, np.int32)  # see `expect`
        # First, last, calls; then the first as if gaps of more than a week had not been.
        self._times = np.zeros(4, np.int64)
        self.recent = Recent()
        self._clock = np.zeros(4, np.int64)  # see `tick`

    def observe(self, calls: pa.Table | pa.RecordBatch) -> Scored:
        """Score each call before it is learned, in order.

        Args:
            calls: of CALL_SCHEMA; times may repeat or go back, the model's clock does not.

        Raises:
            InputError: `behaviour.schema`.
        """
        encoded = encode(calls, self._known)
        n = len(encoded)
        score, alert = np.empty(n), np.zeros(n, np.bool_)
        channel = np.full(n, -1, np.int16)
        findings: list[Finding] = []
        clock = np.empty(n, np.int64)
        tick(encoded.time, self._clock, clock)
        self.names.learn(calls)
        for start, stop in self._segments(clock):
            cut = slice(start, stop)
            score[cut], alert[cut], channel[cut], found = self._segment(
                encoded.part(start, stop), clock[cut], calls, start
            )
            findings += found
        return Scored(
            score=score,
            alert=alert,
            loudest=channel,
            channels=self.channels,
            findings=tuple(findings),
        )

    def judge(self, verdict: Verdict) -> None:
        """Remember that something is benign; the oldest verdicts make room beyond 10,000.

        Raises:
            InputError: `behaviour.channel`, no detector speaks by that name.
        """
        if verdict.channel is not None and verdict.channel not in self.channels:
            raise InputError(
                "behaviour.channel", f"{verdict.channel[:40]!r} is no channel", where="verdict",
                hint=f"channels: {', '.join(self.channels)}",
            )  # fmt: skip
        self.verdicts = [*self.verdicts, verdict][-_MOST_VERDICTS:]

    def save(self) -> bytes:
        """Return all that was learned, for `load`."""
        about = {
            "layout": self._layout(),
            "settings": asdict(self.settings),
            "names": self.names.save(),
            "verdicts": [asdict(each) for each in self.verdicts],
            "suppressed": self.suppressed,
        }
        arrays = {n: a[..., : self._used(n, a)] for n, a in self._arrays().items()}
        return pack(about, arrays)

    @classmethod
    def load(
        cls,
        raw: bytes,
        declared: Declared | None = None,
        *,
        false_alarms_per_day: float | None = None,
    ) -> Self:
        """Return the model that `save` wrote.

        Args:
            raw: bytes that may come from anyone.
            declared: as for the model.
            false_alarms_per_day: another budget; all other settings stay those of the baseline.

        Raises:
            InputError: `behaviour.baseline`, the bytes are no baseline, damaged, or too large.
            ConfigError: `behaviour.settings`, no budget.
        """
        about, arrays = unpack(raw)
        if about.get("layout") != cls._layout():
            raise InputError(
                "behaviour.baseline", "another version wrote it", where="baseline",
                hint="learn again with this one",
            )  # fmt: skip
        with _refusing():
            kept = Settings(**about["settings"])
        if false_alarms_per_day is not None:
            kept = replace(kept, false_alarms_per_day=false_alarms_per_day)
        with _refusing():
            model = cls(kept, declared)
            model._take_about(about)
            model._take(arrays)
        return model

    def merge(self, other: "Model") -> None:
        """Take what `other` learned about parties, edges and services that are unknown here.

        Calibration, budget, verdicts and silences stay those of this model.

        Raises:
            InputError: `behaviour.sizes`, its tables are of other sizes.
        """
        sizes = [(m.settings.node_bits, m.settings.edge_bits, m.settings.link_bits)
                 for m in (self, other)]  # fmt: skip
        if sizes[0] != sizes[1]:
            raise InputError("behaviour.sizes", f"tables of sizes {sizes}", where="baseline")
        numbers = {}
        for name in ("nodes", "edges", "offers", "links"):
            numbers[name] = getattr(self.ground, name).adopt(getattr(other.ground, name))
        self.ground.join(other.ground, numbers)
        for mine, theirs in zip(self.detectors, other.detectors, strict=True):
            mine.merge(theirs, numbers)
        new, old = numbers["nodes"]
        self.releases[new] = other.releases[old]
        new, old = numbers["edges"]
        self.brought[new] = other.brought[old]
        here, there = (m.alarms.state["groups0"] for m in (self, other))
        known = self.ground.nodes.numbers_of(other.ground.nodes)
        for side in ("source", "destination"):
            here[side][new] = known[there[side][old]]
        self.names.load(other.names.save() | self.names.save())

    def describe(self) -> dict[str, Any]:
        """Return what was learned, as plain data: see `describe.describe`."""
        return describe(self)

    @property
    def calls(self) -> int:
        """How many calls were observed."""
        return int(self._times[2])

    @property
    def began(self) -> int:
        """First time, ns since the epoch, as if gaps of more than a week had not been."""
        return int(self._times[3] - self._clock[3])

    @property
    def times(self) -> tuple[int, int]:
        """First and last time, ns since the epoch; zeros where nothing was observed."""
        last = int(self._times[1] - self._clock[3])
        return min(int(self._times[0]), last), last

    def _segments(self, clock: NDArray[np.int64]) -> Iterable[tuple[int, int]]:
        """Cut at each new hour and after every 4,096th call since the beginning."""
        if not len(clock):
            return ()
        hours = np.flatnonzero(np.diff(clock // _HOUR)) + 1
        rows = np.arange(_CHUNK - self.calls % _CHUNK, len(clock), _CHUNK)
        cuts = np.unique(np.concatenate([[0], hours, rows, [len(clock)]]))
        return zip(cuts[:-1].tolist(), cuts[1:].tolist(), strict=True)

    def _segment(
        self, calls: Calls, clock: NDArray[np.int64], table: Any, start: int
    ) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.int8], list[Finding]]:
        if not self._times[2]:
            self._times[[0, 3]] = clock[0]
        elif (gap := int(clock[0] - self._times[1])) > FAR:  # nobody saw it
            self._times[3] += gap
        if self.calls % _CHUNK == 0 or clock[0] // _HOUR != self._times[1] // _HOUR:
            nodes = len(self.ground.nodes)
            self.alarms.turn(int(clock[0] // _HOUR), nodes)
            self.alarms.state["muted"][:nodes] = self.alarms.muted(int(clock[0]), nodes)
        self._times[1] = clock[0]  # findings say how long the history is
        muted = self.alarms.state["muted"]
        placed = self._stance(self.ground.place(calls, clock, muted), table, start)
        tainted = self.alarms.state["tainted"][placed.edge]
        placed = replace(placed, tainted=tainted, began=int(self._times[3]))
        self.recent.keep(self.calls, placed)
        surprise = silent(len(self.channels), len(placed))
        np.concatenate([d.observe(placed, muted) for d in self.detectors], out=surprise)
        if placed.graced.any():
            surprise[np.ix_(self._spared, placed.graced)] *= placed.ripeness[placed.graced]
        score, outcome, channel = self.alarms.decide(placed, surprise)
        alert, found = outcome == ALARM, []
        for row in np.flatnonzero(outcome).tolist():
            alarm = self._alarm(row, start, table, placed, surprise, score, channel)
            alarm = replace(alarm, grown=not alert[row])
            if self._is_benign(alarm):
                alert[row] = False
            else:
                found.append(finding_of(alarm))
        self._times[1:3] = clock[-1], self._times[2] + len(calls)
        return score, alert, channel, found

    def _stance(self, placed: Placed, table: Any, start: int) -> Placed:
        """Ask the declared policy about what is new."""
        grace = np.zeros(len(placed), np.bool_)
        calls = placed.calls
        in_grace(placed.source, placed.fresh, calls.release, placed.clock, self.releases, grace)
        if self.declared is None:
            return placed
        stance = np.zeros(len(placed), np.int8)
        for row in np.flatnonzero(placed.fresh[:, 2] | placed.fresh[:, 4]).tolist():
            said = self.declared.allows(
                *(
                    table[c][start + row].as_py()
                    for c in ("source", "destination", "method", "route")
                )
            )
            if said is not None:
                stance[row] = DENIED if not said else GRACE if grace[row] else ALLOWED
        expect(
            placed.edge, placed.fresh, stance, placed.hour, self.brought, placed.expected,
            placed.graced, placed.renewed, placed.ripeness,
        )  # fmt: skip
        return replace(placed, stance=stance)

    def _alarm(
        self, row: int, start: int, table: Any, placed: Placed, surprise: NDArray[np.float32],
        score: NDArray[np.float64], channel: NDArray[np.int8],
    ) -> Alarm:  # fmt: skip
        call = {c: table[c][start + row].as_py() for c in _SHOWN}
        spoke = self.channels[channel[row]]
        service = " ".join(text(call[c]) for c in ("method", "route") if call[c])
        if not service and call["destination_port"] is not None:
            service = f"{call['protocol']}/{call['destination_port']}"
        peers, did = 0, 0
        if spoke in _NEWS:
            muted = self.alarms.state["muted"]
            peers, did = self.ground.peers_of(placed, row, muted, service=spoke == _NEWS[1])
        return Alarm(
            time=int(placed.calls.time[row]),
            source=text(call["source"]),
            destination=text(call["destination"]),
            towards=self._towards(spoke, int(placed.source[row])) or text(call["destination"]),
            service=service,
            outcome=("", *OUTCOMES)[int(placed.calls.outcome[row]) + 1],
            channel=spoke,
            surprise=spoken(surprise[:, row], self.channels),
            score=float(score[row]),
            groups_per_day=self.alarms.groups_per_day(int(placed.calls.time[row])),
            known=int(placed.clock[row]) - placed.began,
            row=self.calls + row,
            before=self._before(self.calls + row, int(self.alarms.subjects[channel[row]])),
            first=bool(placed.fresh[row, 4 if spoke == _NEWS[1] else 2]),
            peers=peers,
            did=did,
        )

    def _before(self, row: int, about: int) -> tuple[str, ...]:
        name = self.names.of
        return tuple(
            call_line(
                int(one["row"]),
                int(one["time"]),
                text(name(int(one["source"]))),
                text(name(int(one["destination"]))),
            )
            for one in self.recent.before(row, about)
        )

    def _towards(self, channel: str, source: int) -> str | None:
        """Return whom an alarm is about where that is not the call's destination."""
        edge = next(d for d in self.detectors if channel in d.channels).other_edge(source)
        parties = None if edge is None else parties_of(self, edge)
        return parties and text(parties[1])

    def _is_benign(self, alarm: Alarm) -> bool:
        covered = any(
            v.covers(alarm.time, alarm.source, alarm.towards, alarm.channel) for v in self.verdicts
        )
        self.suppressed += covered
        return covered

    def _arrays(self) -> dict[str, NDArray[Any]]:
        arrays = {
            "times": self._times,
            "clock": self._clock,
            "releases": self.releases,
            "brought": self.brought,
        } | self.ground.arrays()
        for detector in self.detectors:
            arrays |= {f"{detector.name}/{n}": a for n, a in detector.state.items()}
        return arrays | {f"alarms/{n}": a for n, a in self.alarms.state.items()}

    def _used(self, name: str, array: NDArray[Any]) -> int:
        """Return how many elements of an array can be in use: numbers of the tables of its size."""
        if name.endswith("/index") or name.startswith(_WHOLE):
            return int(array.shape[-1])
        ground = self.ground
        tables = (ground.nodes, ground.edges, ground.offers, ground.links)
        used = [len(t) for t in tables if len(t.entries) == array.shape[-1]]
        return max(used, default=int(array.shape[-1]))

    @classmethod
    @cache
    def _layout(cls) -> str:
        """Return a digest of what an empty model keeps: a version that changes it has another."""
        empty = cls(Settings(node_bits=16, edge_bits=20, link_bits=20))
        return layout_of(asdict(empty.settings), empty._arrays())

    def _take_about(self, about: dict[str, Any]) -> None:
        self.names.load(about["names"])
        self.verdicts = [Verdict(**each) for each in about["verdicts"]][-_MOST_VERDICTS:]
        self.suppressed = int(about["suppressed"])

    def _take(self, arrays: dict[str, NDArray[Any]]) -> None:
        for name, array in self._arrays().items():
            given = arrays.get(name)
            if (
                given is None
                or given.dtype != array.dtype
                or given.shape[:-1] != array.shape[:-1]
                or given.shape[-1:] > array.shape[-1:]
            ):
                raise _damaged(f"{name} does not fit")
            array[..., : given.shape[-1]] = given
        self.ground.check()
        nodes, edges = len(self.ground.nodes), len(self.ground.edges)
        if not self.alarms.is_sound(nodes, edges):
            raise _damaged("its groups are not those of its tables")
        for detector in self.detectors:
            if not detector.is_sound(nodes, edges):
                raise _damaged(f"what {detector.name} keeps is not of its tables")


_WHOLE: Final = (
    "credentials/",
    "silence/habits",
    "alarms/histogram",
    "alarms/level",
)  # by no table
_NEWS: Final = ("new edge", "new service")  # channels about what peers may have done before
_SHOWN: Final = ("source", "destination", "method", "route", "protocol", "destination_port")


def _damaged(why: str) -> InputError:
    return InputError("behaviour.baseline", f"not a baseline, or damaged: {why}", where="baseline")


@contextmanager
def _refusing() -> Iterator[None]:
    """Refuse a baseline for whatever its values lead to, too little memory included."""
    try:
        yield
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise _damaged(f"{type(error).__name__}: {str(error)[:200]}") from error
    except (ConfigError, MemoryError) as error:
        raise _damaged(str(error)[:200]) from error
