"""Names of identities by their keys, so that what was learned can be shown; bounded."""

import re
from typing import Any, Final

import numpy as np
import pyarrow as pa

from meshwarden.behaviour.encode import key_of

_MOST_CHARACTERS: Final = 256
_KEY: Final = re.compile("[0-9a-f]{16}")


class Names:
    """Remembers the names of identities; when full, no more are learned.

    Args:
        most: how many.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._names: dict[int, str] = {}
        self._learned: dict[str, pa.Array] = {}  # by side: batches mostly share a dictionary

    def learn(self, table: Any) -> None:
        """Remember the names of parties in `table`, of CALL_SCHEMA."""
        for side in ("source", "destination"):
            column = table.column(side)
            for chunk in column.chunks if isinstance(column, pa.ChunkedArray) else [column]:
                learned = self._learned.get(side)
                if learned is None or not learned.equals(chunk.dictionary):
                    self._learned[side] = chunk.dictionary
                    self._learn(chunk.dictionary)

    def _learn(self, names: pa.Array) -> None:
        for name in names.to_pylist():
            if len(self._names) >= self._most:
                return
            if name:
                self._names.setdefault(key_of(name), name[:_MOST_CHARACTERS])

    def of(self, key: int) -> str:
        """Return the name of a key, or a stand-in."""
        return self._names.get(int(np.uint64(key)), f"#{key:016x}")

    def save(self) -> dict[str, str]:
        """Return names by key in hexadecimal."""
        return {f"{key:016x}": name for key, name in self._names.items()}

    def load(self, names: dict[str, str]) -> None:
        """Take what `save` returned; ValueError for anything else."""
        self._learned = {}
        self._names = dict(_parse(k, v) for k, v in list(names.items())[: self._most])


def _parse(key: str, name: str) -> tuple[int, str]:
    if not _KEY.fullmatch(key) or not isinstance(name, str):
        raise ValueError(f"{key[:20]!r} is no key of a name")
    return int(key, 16), name[:_MOST_CHARACTERS]
