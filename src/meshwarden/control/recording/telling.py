"""What one reading of the logs tells: lines of all logs into accounts, and accounts into calls.

The usual lines are read together, as columns; the others one by one. An account that the merge held
may be a line of an earlier reading: it is read only when its call is certain.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

import pyarrow as pa

from meshwarden.adapters.envoy.accesslog_batch import Line, Told, read_usual
from meshwarden.adapters.envoy.accesslog_call import Naming, report_of
from meshwarden.adapters.envoy.accesslog_entry import parse_entry
from meshwarden.adapters.storage.rejected import Rejected
from meshwarden.adapters.storage.tail import Chunk
from meshwarden.kernel import Call, InputError, calls_to_table


@dataclass(slots=True)
class Reading:
    """Lines of several logs, in the order in which they were read: four lists of one length.

    Attributes:
        lines: without their ends.
        owners: SPIFFE ID of the service whose sidecar wrote each.
        logs: which log each is from.
        places: where in it: generation and offset.
    """

    lines: list[bytes] = field(default_factory=list)
    owners: list[str] = field(default_factory=list)
    logs: list[str] = field(default_factory=list)
    places: list[tuple[int, int]] = field(default_factory=list)

    def add(self, log: str, owner: str, chunk: Chunk) -> int | None:
        """Add the lines of `chunk`; return the end of its last entry, None where it has none."""
        count = len(chunk.lines)
        self.lines += [line for _, line in chunk.lines]
        self.owners += [owner] * count
        self.logs += [log] * count
        self.places += [(chunk.generation, offset) for offset, _ in chunk.lines]
        return _last_end(line for _, line in reversed(chunk.lines))


def _last_end(lines: Iterable[bytes]) -> int | None:
    for line in lines:
        try:
            return parse_entry(line).end
        except InputError:
            continue
    return None


class Telling:
    """What a reading tells.

    Args:
        reading: the lines.
        naming: names of the mesh.

    Attributes:
        told: the accounts, for the merge.
        rejected: lines that break the format.
    """

    def __init__(self, reading: Reading, naming: Naming) -> None:
        self._reading = reading
        self._naming = naming
        self.rejected: list[Rejected] = []
        usual = read_usual(reading.lines, reading.owners, naming)
        self._rows = usual.rows
        self.told = usual.told
        for at in usual.others:
            self._read(at)

    def calls(self, certain: Iterable[int | Line | Call]) -> pa.Table:
        """Return the calls (CALL_SCHEMA) that stand where the merge says."""
        rows: list[int] = []
        others: list[Call] = []
        for what in certain:
            if isinstance(what, int):
                rows.append(what)
            else:
                others.append(self._call_of(what) if isinstance(what, Line) else what)
        whole = len(rows) == self._rows.num_rows
        table = self._rows if whole else self._rows.take(pa.array(rows, pa.int64()))
        return pa.concat_tables([table, calls_to_table(others)]) if others else table

    def _read(self, at: int) -> None:
        reading = self._reading
        try:
            entry = parse_entry(reading.lines[at])
        except InputError as error:
            self._reject(at, error.message)
            return
        found = report_of(entry, owner=reading.owners[at], naming=self._naming)
        if found is not None:
            self.told.append(Told(found.key, found.side, found.end, found.call))

    def _call_of(self, line: Line) -> Call:
        """Return the call of a line that `read_usual` has read, which proves that it is sound."""
        found = report_of(parse_entry(line.text), owner=line.owner, naming=self._naming)
        assert found is not None  # noqa: S101  # a line of a listener never waits
        return found.call

    def _reject(self, at: int, reason: str) -> None:
        reading = self._reading
        generation, offset = reading.places[at]
        self.rejected.append(
            Rejected(
                log=reading.logs[at],
                where=f"{generation}:{offset}",
                reason=reason,
                line=reading.lines[at],
            )
        )
