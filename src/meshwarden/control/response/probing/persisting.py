"""A proof that may need a moment: what was told to everybody arrives at the last of them later.

A sidecar that is just connecting again gets what is in force before anything else, within a second
or two of its own pauses. Until then a probe rightly finds a way open; it looks again before it says
that the action failed.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from meshwarden.kernel import VerificationError

WITHIN_S: Final = 10.0
"""Longer than a sidecar pauses between two attempts to connect; more keeps people waiting for the
page that says that it does not work."""

PAUSE_S: Final = 0.25


async def persist(probe: Callable[[], Awaitable[str]], *, within_s: float = WITHIN_S) -> str:
    """Return what `probe` returns once it does not raise VerificationError; its last one else."""
    loop = asyncio.get_running_loop()
    end = loop.time() + within_s
    while True:
        try:
            return await probe()
        except VerificationError:
            if loop.time() >= end:
                raise
        await asyncio.sleep(PAUSE_S)
