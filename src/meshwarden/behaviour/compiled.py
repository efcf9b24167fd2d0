"""`compiled`: the decorator of every hot loop: numba, cached on disk where that is possible.

Nothing is compiled at import. Where no folder is writable (a read-only root without a home), the
loops are compiled anew by each process instead of failing.

Numba notices that the file of a loop changed, not that a function changed which the loop calls from
another file; a stale loop would give wrong results in silence. So the stamp of every loop is that
of the whole package.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar, cast

import numba

_Loop = TypeVar("_Loop", bound=Callable[..., Any])


def _stamp() -> tuple[float, int]:
    stats = [each.stat() for each in sorted(Path(__file__).parent.rglob("*.py"))]
    return max(s.st_mtime for s in stats), sum(s.st_size for s in stats)


_STAMP: Final = _stamp()


def compiled(loop: _Loop) -> _Loop:
    """Return `loop` as machine code: no Python objects inside, IEEE arithmetic."""
    try:
        dispatcher = numba.njit(cache=True, nogil=True, error_model="numpy")(loop)
        file = dispatcher._cache._cache_file  # noqa: SLF001  # there is no public way
        known = file._source_stamp  # noqa: SLF001
    except (RuntimeError, AttributeError):  # no writable folder, or another numba
        return cast("_Loop", numba.njit(nogil=True, error_model="numpy")(loop))
    file._source_stamp = (known, _STAMP)  # noqa: SLF001
    return cast("_Loop", dispatcher)
