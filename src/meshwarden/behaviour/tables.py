"""Names to small numbers: open-addressing tables of fixed size that forget the least useful key.

A table gives each 64-bit key a dense number, so that detectors keep what they know about it in
plain arrays. It never grows beyond its stated size: when it is full, the key that was seen in the
fewest different hours, and among those longest ago, makes room, out of a few that are looked at
(a flood of names seen once evicts itself, not what is established). A number that is handed on is
reported as fresh, and detectors clear what they kept under it.

Linear probing with backward-shift deletion: Knuth, TAOCP vol. 3, 6.4, algorithm R.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from meshwarden.behaviour.compiled import compiled

_LOOKED_AT: Final = 8
_MIX: Final = np.uint64(0x9E3779B97F4A7C15)
ENTRY: Final = np.dtype([("key", "u8"), ("hours", "i4"), ("hour", "i4")])


@dataclass(slots=True)
class Table:
    """Keys and their numbers.

    Attributes:
        entries: of ENTRY, by number: the key, in how many hours it was seen, the last of them.
        index: number + 1 by place; 0 where empty; twice as many places as entries, a power of 2.
        used: one element: how many numbers were given out.
    """

    entries: NDArray[Any]
    index: NDArray[np.int32]
    used: NDArray[np.int64]

    @classmethod
    def sized(cls, bits: int) -> "Table":
        """Return an empty table for 2**bits keys; pages are touched only as they are used."""
        return cls(
            entries=np.zeros(1 << bits, ENTRY),
            index=np.zeros(2 << bits, np.int32),
            used=np.zeros(1, np.int64),
        )

    def __len__(self) -> int:
        return int(self.used[0])

    def adopt(self, other: "Table") -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Add the keys of `other` that are unknown here; return new numbers here, and there."""
        mine, theirs = [], []
        for number in range(min(len(other), self.entries.size)):
            entry = other.entries[number]
            if len(self) < self.entries.size and find(self.entries, self.index, entry["key"]) < 0:
                new, _ = number_of(self.entries, self.index, self.used, entry["key"], entry["hour"])
                self.entries[new] = entry
                mine.append(new)
                theirs.append(number)
        return np.array(mine, np.int64), np.array(theirs, np.int64)

    def numbers_of(self, other: "Table") -> NDArray[np.int64]:
        """Return, by number in `other`, the number here; 0 where its key is unknown here."""
        keys = other.entries["key"][: len(other)]
        numbers = [int(find(self.entries, self.index, key)) for key in keys]
        return np.maximum(np.array(numbers or [0], np.int64), 0)


@compiled
def home(key: Any, mask: int) -> Any:
    """Return where in an index of `mask` + 1 places a key is looked for first."""
    mixed = key * _MIX
    return np.int64((mixed ^ (mixed >> np.uint64(32))) & np.uint64(mask))


@compiled
def find(entries: Any, index: Any, key: Any) -> Any:
    """Return the number of `key`, or -1."""
    mask = index.size - 1
    place = home(key, mask)
    while index[place] != 0:
        number = index[place] - 1
        if entries[number].key == key:
            return number
        place = (place + 1) & mask
    return -1


@compiled
def finds_all(entries: Any, index: Any, used: int) -> bool:
    """Return whether each of the first `used` keys is found under its number, and no other is.

    Takes an index with an empty place, and no numbers beyond `used`.
    """
    filled = 0
    for place in range(index.size):
        filled += index[place] != 0
    found = 0
    if filled == used and used < index.size:
        while found < used and find(entries, index, entries[found].key) == found:
            found += 1
    return bool(filled == used == found)


@compiled
def is_seen(entry: Any, key: Any, hour: int) -> bool:
    """Return whether an entry is that of `key`, noting that it was seen in `hour`.

    For a loop that looks where most keys are, and calls `number_of` for the others: that takes
    arrays, whose references are counted at each call.
    """
    if entry.key != key:
        return False
    if entry.hour != hour:
        entry.hour = hour
        entry.hours += 1
    return True


@compiled
def _remove(entries: NDArray[Any], index: NDArray[np.int32], key: np.uint64) -> None:
    mask = index.size - 1
    hole = home(key, mask)
    while entries[index[hole] - 1].key != key:
        hole = (hole + 1) & mask
    index[hole] = 0
    place = (hole + 1) & mask
    while index[place] != 0:
        wanted = home(entries[index[place] - 1].key, mask)
        if ((place - wanted) & mask) >= ((place - hole) & mask):
            index[hole] = index[place]
            index[place] = 0
            hole = place
        place = (place + 1) & mask


@compiled
def _victim(entries: Any, key: Any) -> Any:
    """Return the least useful of a few entries that the key itself picks."""
    best: Any = -1
    state = key
    for _ in range(_LOOKED_AT):
        state = state * np.uint64(6364136223846793005) + np.uint64(1442695040888963407)
        number: Any = np.int64(state >> np.uint64(33)) % entries.size
        if best < 0 or (entries[number].hours, entries[number].hour) < (
            entries[best].hours,
            entries[best].hour,
        ):
            best = number
    return best


@compiled
def number_of(
    entries: NDArray[Any],
    index: NDArray[np.int32],
    used: NDArray[np.int64],
    key: np.uint64,
    hour: int,
) -> tuple[int, bool]:
    """Return the number of `key`, given one now where it has none, and whether that is fresh."""
    number = find(entries, index, key)
    if number >= 0:
        is_seen(entries[number], key, hour)
        return number, False
    if used[0] < entries.size:
        number = used[0]
        used[0] += 1
    else:
        number = _victim(entries, key)
        _remove(entries, index, entries[number].key)
    entries[number].key, entries[number].hour, entries[number].hours = key, hour, 1
    mask = index.size - 1
    place = home(key, mask)
    while index[place] != 0:
        place = (place + 1) & mask
    index[place] = number + 1
    return number, True


@compiled
def pair(first: np.uint64, second: np.uint64) -> np.uint64:
    """Return one key for an ordered pair of keys."""
    mixed = (first ^ (second + _MIX + (first << np.uint64(6)) + (first >> np.uint64(2)))) * _MIX
    return mixed ^ (mixed >> np.uint64(29))
