"""Where the recorder stood when it wrote a part, as JSON: positions, what the merge holds, totals.

With the logs and the newest part's checkpoint a new recorder goes on as if nothing had happened.
Version 1, which had no lines, is read as well.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from meshwarden.adapters.envoy.accesslog_batch import Line, Told
from meshwarden.adapters.envoy.accesslog_call import Side
from meshwarden.adapters.storage.tail import Position
from meshwarden.control.recording.figures import Totals
from meshwarden.control.recording.merge import MergeState
from meshwarden.kernel import Call, StateError

_VERSION: Final = 2
_READ: Final = frozenset({1, _VERSION})


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How far one log has been read.

    Attributes:
        owner: SPIFFE ID of the service whose sidecar writes it.
        path: the live file.
        position: where the next reading starts.
        progress: end of the last entry read, in nanoseconds since the epoch.
    """

    owner: str
    path: str
    position: Position = field(default_factory=Position)
    progress: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """All that a recorder needs to go on, beside the logs themselves."""

    logs: Mapping[str, Standing] = field(default_factory=dict)
    merge: MergeState = field(default_factory=MergeState)
    totals: Totals = field(default_factory=Totals)


def render_checkpoint(checkpoint: Checkpoint) -> bytes:
    """Return `checkpoint` as JSON."""
    merge = checkpoint.merge
    return json.dumps(
        {
            "version": _VERSION,
            "logs": {name: asdict(standing) for name, standing in checkpoint.logs.items()},
            "held": [_render_report(report) for report in merge.held.values()],
            "settled": dict(merge.settled),
            "released": dict(merge.released),
            "late": merge.late,
            "evicted": merge.evicted,
            "swept": merge.swept,
            "totals": asdict(checkpoint.totals),
        },
        separators=(",", ":"),
    ).encode()


def parse_checkpoint(raw: bytes, *, where: str = "the newest part") -> Checkpoint:
    """Return what `render_checkpoint` wrote, found in the part `where`.

    Raises:
        StateError: `record.checkpoint` for anything else.
    """
    try:
        found = _known(json.loads(raw))
        held = [_parse_report(report) for report in found["held"]]
        return Checkpoint(
            logs={name: _parse_standing(log) for name, log in found["logs"].items()},
            merge=MergeState(
                held={report.key: report for report in held if report.key is not None},
                settled=found["settled"],
                released=found["released"],
                late=found["late"],
                evicted=found["evicted"],
                swept=found.get("swept", 0),
            ),
            totals=Totals(**found["totals"]),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StateError(
            "record.checkpoint",
            f"{where} carries no usable checkpoint: {error}",
            hint="it is not ours, or another version's: move it away",
        ) from error


def _known(found: dict[str, Any]) -> dict[str, Any]:
    if found["version"] not in _READ:
        raise ValueError(f"version {found['version']!r}")
    return found


def _render_report(report: Told) -> dict[str, Any]:
    what = report.what
    if isinstance(what, Line):
        told: dict[str, Any] = {"line": what.text.decode(), "owner": what.owner}
    else:
        assert isinstance(what, Call)  # noqa: S101  # a row of a batch is never held
        told = {"call": {name: value for name, value in asdict(what).items() if value is not None}}
    return told | {"side": report.side.value, "key": report.key, "end": report.end}


def _parse_report(found: dict[str, Any]) -> Told:
    what: Line | Call
    if "line" in found:
        what = Line(owner=found["owner"], text=found["line"].encode())
    else:
        what = Call(**found["call"])
    return Told(key=found["key"], side=Side(found["side"]), end=found["end"], what=what)


def _parse_standing(found: dict[str, Any]) -> Standing:
    return Standing(**{**found, "position": Position(**found["position"])})
