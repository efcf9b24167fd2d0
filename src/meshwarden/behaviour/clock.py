"""The model's clock: calls' times, never going back, and not led astray by wrong ones.

Late and repeated times count at the latest time seen. A time more than a week ahead counts at the
latest time seen, too, until a hundred calls in a row are that far ahead: then the world has moved
on, and the clock with it. Where a hundred in a row are more than an hour behind, it was the clock
that was wrong (one call may be dated in the next week, the first ever in the next century): from
then on it runs ahead of the calls by whole days, so that hours stay hours of the day and time
passes again.
"""

from typing import Any, Final

from meshwarden.behaviour.compiled import compiled

_DAY: Final = 86_400_000_000_000
FAR: Final = 7 * _DAY
_BEHIND: Final = _DAY // 24
_BELIEVED: Final = 100
_LATEST: Final = 1 << 62  # the year 2116; beyond, sums might overflow


@compiled
def tick(time: Any, state: Any, clock: Any) -> None:
    """Fill `clock`.

    Args:
        time: of each call, ns since the epoch.
        state: int64[4]: the latest time by the clock, calls in a row that were far ahead, far
            behind, and by how much the clock runs ahead of the calls, ns.
        clock: the time that counts, by the clock.
    """
    for i in range(time.size):
        now = min(max(time[i], 0), _LATEST) + state[3]
        if state[0] == 0:
            state[0] = now
        ahead = now - state[0]
        state[1] = state[1] + 1 if ahead > FAR else 0
        state[2] = state[2] + 1 if ahead < -_BEHIND else 0
        if 0 < ahead <= FAR or state[1] >= _BELIEVED:
            state[0], state[1] = now, 0
        elif state[2] >= _BELIEVED:
            shift = (_DAY - 1 - ahead) // _DAY * _DAY
            state[0], state[2], state[3] = now + shift, 0, state[3] + shift
        clock[i] = state[0]
