"""The model's clock: calls' times, never going back, and not led astray by one wrong time.

Late and repeated times count at the latest time seen. A time more than a week ahead counts at the
latest time seen, too, until a hundred calls in a row are that far ahead: then the world has moved
on, and the clock with it.
"""

from typing import Any, Final

from meshwarden.behaviour.compiled import compiled

_FAR: Final = 7 * 86_400_000_000_000
_BELIEVED: Final = 100


@compiled
def tick(time: Any, state: Any, clock: Any) -> None:
    """Fill `clock`; `state` is int64[2]: the latest time, calls in a row that were far ahead."""
    for i in range(time.size):
        if state[0] == 0:
            state[0] = time[i]
        ahead = time[i] - state[0]
        state[1] = state[1] + 1 if ahead > _FAR else 0
        if 0 < ahead <= _FAR or state[1] >= _BELIEVED:
            state[0], state[1] = time[i], 0
        clock[i] = state[0]
