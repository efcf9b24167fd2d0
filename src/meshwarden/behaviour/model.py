"""`Model`: calls in, scores and findings out, in one pass."""

from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from meshwarden.behaviour.alarms import Alarms
from meshwarden.behaviour.archive import pack, unpack
from meshwarden.behaviour.detectors import build
from meshwarden.behaviour.encode import Calls, encode
from meshwarden.behaviour.ground import Ground
from meshwarden.behaviour.settings import Settings
from meshwarden.kernel import Finding, InputError, Severity

_CHUNK = 4096



@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """What the model says about some calls.

    Attributes:
        score: float64[n], higher is stranger: -log10 of how many such groups a day are expected.
        alert: bool[n], true where an alarm is raised.
        channel: n names, "" where nothing stands out.
        findings: one for each alarm.
    """

    score: NDArray[np.float64]
    alert: NDArray[np.bool_]
    channel: tuple[str, ...]
    findings: tuple[Finding, ...]


class Model:
    """Learns what is normal between identities and says what is not."""

    def __init__(self, settings: Settings | None = None, declared: Any = None) -> None:
        self.settings = settings or Settings()
        self.declared = declared
        self.ground = Ground(self.settings)
        self.detectors = build(self.settings)
        self.channels = tuple(c for d in self.detectors for c in d.channels)
        names = [f for d in self.detectors for f in d.families]
        self.families = tuple(dict.fromkeys(names))
        subjects = [k for d in self.detectors for k in d.subjects] + [0] * (len(self.families) + 1)
        self.alarms = Alarms(self.settings, np.array(subjects, np.int8), np.array([self.families.index(f) for f in names], np.int8))
        self._last = 0
        self._rows = 0

    def observe(self, calls: pa.Table | pa.RecordBatch) -> Scored:
        """Score each call before it is learned, in order."""
        encoded = encode(calls)
        score, alert = np.empty(len(encoded)), np.zeros(len(encoded), np.bool_)
        channel = np.full(len(encoded), -1, np.int8)
        clock = np.maximum.accumulate(np.maximum(encoded.time, self._last))
        for start, stop in self._segments(clock):
            part = slice(start, stop)
            score[part], alert[part], channel[part] = self._segment(
                encoded.part(start, stop), clock[part]
            )
        if len(clock):
            self._last = int(clock[-1])
        names = [*self.channels, ""]
        findings = tuple(
            Finding(
                time=int(encoded.time[row]),
                code=f"behaviour.{names[channel[row]].replace(' ', '_')}",
                subject=str(calls["source"][int(row)].as_py()),
                severity=Severity.MEDIUM,
                sentence=f"unusual: {names[channel[row]]}",
            )
            for row in np.flatnonzero(alert)
        )
        return Scored(
            score=score, alert=alert, channel=tuple(names[c] for c in channel), findings=findings
        )

    def _segments(self, clock: NDArray[np.int64]) -> list[tuple[int, int]]:
        """Cut at each new hour and after every 4,096th call since the beginning."""
        if not len(clock):
            return []
        hours = np.flatnonzero(np.diff(clock // 3_600_000_000_000)) + 1
        rows = np.arange(_CHUNK - self._rows % _CHUNK, len(clock), _CHUNK)
        cuts = np.unique(np.concatenate([[0], hours, rows, [len(clock)]]))
        return list(zip(cuts[:-1].tolist(), cuts[1:].tolist(), strict=True))

    def _segment(self, calls: Calls, clock: NDArray[np.int64]) -> tuple[Any, Any, Any]:
        self._rows += len(calls)
        self.alarms.turn(int(clock[0] // 3_600_000_000_000))
        placed = self.ground.place(calls, clock)
        muted = self.alarms.muted(int(clock[0]))
        surprise = np.vstack([d.observe(placed, muted) for d in self.detectors])
        return self.alarms.decide(placed, surprise)

    def _arrays(self) -> dict[str, NDArray[Any]]:
        tables = {"nodes": self.ground.nodes, "edges": self.ground.edges}
        tables |= {"offers": self.ground.offers, "links": self.ground.links}
        arrays: dict[str, NDArray[Any]] = {}
        for name, table in tables.items():
            for part in ("entries", "index", "used"):
                arrays[f"ground/{name}/{part}"] = getattr(table, part)
        for detector in self.detectors:
            arrays |= {f"{detector.name}/{n}": a for n, a in detector.state.items()}
        return arrays | {f"alarms/{n}": a for n, a in self.alarms.state.items()}

    def save(self) -> bytes:
        """Return all that was learned, for `load`."""
        about = {"settings": asdict(self.settings), "last": self._last, "rows": self._rows}
        return pack(about, self._arrays())

    @classmethod
    def load(cls, raw: bytes, declared: Any = None) -> Self:
        """Return the model that `save` wrote.

        Raises:
            InputError: `behaviour.baseline`, the bytes are no baseline, damaged, or too large.
        """
        about, arrays = unpack(raw)
        model = cls(Settings(**about["settings"]), declared)
        model._last, model._rows = int(about["last"]), int(about["rows"])
        for name, array in model._arrays().items():
            given = arrays.get(name)
            if given is None or given.shape != array.shape or given.dtype != array.dtype:
                raise InputError("behaviour.baseline", f"{name} does not fit", where="baseline")
            array[...] = given
        return model

    def describe(self) -> dict[str, Any]:
        """Return what was learned, as plain data."""
        return {
            "calls": self._rows,
            "identities": len(self.ground.nodes),
            "edges": len(self.ground.edges),
            "offers": len(self.ground.offers),
            "links": len(self.ground.links),
            "warming_up": self._rows < self.settings.warm_up_calls,
        }
