"""`compiled`: the decorator of every hot loop: numba, cached on disk where that is possible.

Nothing is compiled at import. Where no folder is writable (a read-only root without a home), the
loops are compiled anew by each process instead of failing.
"""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

_Loop = TypeVar("_Loop", bound=Callable[..., Any])


def compiled(loop: _Loop) -> _Loop:
    """Return `loop` as machine code: no Python objects inside, IEEE arithmetic."""
    try:
        return cast("_Loop", numba.njit(nogil=True)(loop))
    except RuntimeError:  # numba: "cannot cache function ...: no locator available"
        return cast("_Loop", numba.njit(nogil=True)(loop))
