"""The decoder of formats whose lines stand alone."""

from collections.abc import Callable, Sequence

from meshwarden.adapters.sources.row import Row


class LineDecoder:
    """One line, one call or none; implements `Decoder`.

    Args:
        read: returns the row of a line, None where it reports no call; InputError `source.line`.
    """

    def __init__(self, read: Callable[[bytes], Row | None]) -> None:
        self._read = read

    def decode(self, line: bytes) -> Sequence[Row]:
        """Return the call of `line`; InputError `source.line`."""
        row = self._read(line)
        return () if row is None else (row,)

    def finish(self) -> Sequence[Row]:
        """Return nothing: no line waits for another."""
        return ()
