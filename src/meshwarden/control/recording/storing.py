"""Writes parts in a thread of its own, one after the other, so that reading goes on meanwhile.

A part and the merging of earlier ones take a tenth of a second and more; calls that come meanwhile
would wait as long to be scored. So the thread also gives way to whoever needs the processor. What
is handed in is frozen: calls, and where the recorder stood.
"""

import os
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Final

import pyarrow as pa

from meshwarden.adapters.storage.parts import PartWriter
from meshwarden.adapters.storage.rejected import Rejected, RejectedLines
from meshwarden.control.recording.checkpoint import Checkpoint, render_checkpoint
from meshwarden.kernel import CALL_SCHEMA, StateError

_GIVES_WAY: Final = 10  # niceness: a tenth of the share of others where all want the processor


@dataclass(frozen=True, slots=True, kw_only=True)
class Unwritten:
    """What goes into the next part: calls (CALL_SCHEMA), rejected lines, where the logs stood."""

    calls: Sequence[pa.Table]
    rejected: Sequence[Rejected]
    checkpoint: Checkpoint


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What came of one part.

    Attributes:
        part: what was handed in; without its rejected lines where these are kept already.
        failed: why it is not on disk; None where it is.
        untidy: why the record could not be tidied; None where it was.
        dropped: calls that the record's bound pushed out.
    """

    part: Unwritten
    failed: OSError | None = None
    untidy: OSError | StateError | None = None
    dropped: int = 0


class Storing:
    """The one thread that writes.

    Args:
        writer: of the parts.
        aside: of rejected lines.
    """

    def __init__(self, writer: PartWriter, aside: RejectedLines) -> None:
        self._writer = writer
        self._aside = aside
        self._thread = ThreadPoolExecutor(
            max_workers=1,
            thread_name_prefix="record",
            initializer=os.nice,  # on Linux of the calling thread alone
            initargs=(_GIVES_WAY,),
        )
        self._under_way: Future[Written] | None = None

    @property
    def busy(self) -> bool:
        """Whether a part was begun of which `outcome` has not told."""
        return self._under_way is not None

    def begin(self, part: Unwritten) -> None:
        """Write `part`; the one before must have been told of."""
        self._under_way = self._thread.submit(self._write, part)

    def outcome(self, *, wait: bool) -> Written | None:
        """Return what came of the part under way, once; None where it goes on, or there is none."""
        if self._under_way is None or not (wait or self._under_way.done()):
            return None
        under_way, self._under_way = self._under_way, None
        return under_way.result()

    def close(self) -> None:
        """End what is under way, whatever comes of it."""
        self._thread.shutdown(wait=True)
        self._writer.close()

    def _write(self, part: Unwritten) -> Written:
        try:
            self._aside.keep(part.rejected)
        except OSError as error:
            return Written(part=part, failed=error)
        part = replace(part, rejected=())
        try:
            self._writer.store(_joined(part.calls), render_checkpoint(part.checkpoint))
        except OSError as error:
            return Written(part=part, failed=error)
        try:
            while self._writer.compact() is not None:
                pass
            return Written(part=part, dropped=self._writer.enforce_bound()[1])
        except (OSError, StateError) as error:
            return Written(part=part, untidy=error)


def _joined(tables: Sequence[pa.Table]) -> pa.Table:
    whole = pa.concat_tables([CALL_SCHEMA.empty_table(), *tables])
    return whole.unify_dictionaries().combine_chunks()
