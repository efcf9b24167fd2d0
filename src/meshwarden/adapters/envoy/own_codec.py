"""The access log of our own sidecars as a source: one call of what both ends reported.

The callee's report wins; a caller's waits for it as long as there is room, and stands alone in the
end. Whose log it is, the lines do not say: `--owner`, else the name of its folder
(`logs/<service>/access.log`), which is taken for the identity whose last segment it is once another
line names that one.
"""

from collections.abc import Sequence
from dataclasses import fields
from typing import Final, cast

from meshwarden.adapters.envoy.accesslog_call import Naming, Report, Side, report_of
from meshwarden.adapters.envoy.accesslog_entry import parse_entry
from meshwarden.adapters.sources.parties import named
from meshwarden.adapters.sources.row import Context, Row, refuse
from meshwarden.kernel import UNKNOWN, Call, InputError

_HELD: Final = 100_000
_NAMES: Final = 10_000
_COLUMNS: Final = tuple(field.name for field in fields(Call))


class SidecarPairs:
    """Callers' reports that wait, and callees' that came; shared by all logs of a mesh."""

    def __init__(self) -> None:
        self._held: dict[str, Report] = {}
        self._settled: dict[str, None] = {}
        self._identities: dict[str, str] = {}

    def take(self, report: Report) -> list[Call]:
        """Return the calls that are certain with `report`."""
        key = _key(report)
        self._learn(report.call)
        if key is None:
            return [report.call]
        if report.side is Side.CALLEE:
            if self._held.pop(key, None) is None:
                self._settle(key)
            return [report.call]
        if key in self._settled:
            del self._settled[key]
            return []
        earlier = self._held.pop(key, None)
        self._held[key] = report
        if earlier is None and len(self._held) > _HELD:
            earlier = self._held.pop(next(iter(self._held)))
        return [earlier.call] if earlier else []

    def identity_of(self, name: str) -> str | None:
        """Return the identity whose last segment is `name`, where a line has named one."""
        return self._identities.get(name)

    def _learn(self, call: Call) -> None:
        known = [call.destination] if call.reporter == "source" else []
        for party in [*known, *([call.source] if call.mtls else [])]:
            if len(self._identities) < _NAMES and party.startswith("spiffe://"):
                self._identities.setdefault(party.rpartition("/")[2], party)

    def _settle(self, key: str) -> None:
        self._settled[key] = None
        if len(self._settled) > _HELD:
            del self._settled[next(iter(self._settled))]

    def rest(self) -> list[Call]:
        """Return the callers' reports that still waited."""
        held, self._held = self._held, {}
        return [report.call for report in held.values()]


class SidecarDecoder:
    """One sidecar's log; implements `Decoder`."""

    def __init__(self, context: Context, pairs: SidecarPairs | None = None) -> None:
        self._context = context
        self._pairs = pairs or SidecarPairs()

    def joined(self, context: Context) -> "SidecarDecoder":
        """Return the decoder of another sidecar's log of the same mesh."""
        return SidecarDecoder(context, self._pairs)

    def decode(self, line: bytes) -> Sequence[Row]:
        """Return the calls that `line` completes; InputError `source.line`."""
        try:
            entry = parse_entry(line)
        except InputError as error:
            refuse(error.message[:60])
        report = report_of(entry, owner=self._owner(), naming=Naming())
        return [] if report is None else [_row(call) for call in self._pairs.take(report)]

    def _owner(self) -> str:
        context = self._context
        if context.owner is not None:
            return context.owner
        name = context.folder or UNKNOWN
        return self._pairs.identity_of(name) or named(name, context.trust_domain) or UNKNOWN

    def finish(self) -> Sequence[Row]:
        """Return the callers' reports that the callees' never joined."""
        return [_row(call) for call in self._pairs.rest()]


def _key(report: Report) -> str | None:
    """Return the report's key with the last segments of its parties: a folder's name is one."""
    if report.key is None:
        return None
    kind, token, *parties = report.key.split(" ")
    return " ".join([kind, token, *(party.rpartition("/")[2] for party in parties)])


def _row(call: Call) -> Row:
    return cast("Row", {name: getattr(call, name) for name in _COLUMNS})
