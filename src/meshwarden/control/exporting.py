"""Carries stored findings to an outlet: each at least once, in their order, over restarts.

The cursor moves only when the outlet has taken a finding. Where it does not, the loop waits and
tries the same one again: an outlet that is down holds up its own queue, which is the store itself.
"""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Final

from meshwarden.adapters.export.cursor import Cursor, Position, read_findings
from meshwarden.adapters.export.outlet import Outlet
from meshwarden.kernel import DependencyError, Finding

LOOK_S: Final = 0.2
_RETRY_S: Final = 5.0
_FINISH_S: Final = 2.0
"""How long whoever is cancelled waits for a delivery that is under way to be on record; without
that it would be made again. Longer holds up the end of a command."""


async def export(store: Path, cursor: Cursor, outlet: Outlet) -> int:
    """Deliver what is stored and not delivered yet; return how many findings that were.

    Raises:
        DependencyError: the outlet or the cursor's disk refused; what came before is delivered.
    """
    delivered = 0
    for finding, position in read_findings(store, cursor.load()):
        step = asyncio.create_task(_deliver(finding, position, cursor, outlet))
        try:
            await asyncio.shield(step)
        except asyncio.CancelledError:
            await asyncio.wait({step}, timeout=_FINISH_S)
            step.cancel()
            raise
        delivered += 1
    return delivered


async def _deliver(finding: Finding, position: Position, cursor: Cursor, outlet: Outlet) -> None:
    await outlet.deliver(finding)
    await asyncio.to_thread(cursor.store, position)


async def keep_exporting(
    store: Path, cursor: Cursor, outlet: Outlet, *, failed: Callable[[DependencyError], None]
) -> None:
    """Deliver what is stored and what will be, until cancelled; `failed` takes refusals."""
    seen: tuple[int, int] | None = None
    while True:
        look = _stamp(store)
        if look != seen:
            try:
                await export(store, cursor, outlet)
                seen = look
            except DependencyError as error:
                failed(error)
                await asyncio.sleep(error.retry_after_s or _RETRY_S)
                continue
        await asyncio.sleep(LOOK_S)


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_size
