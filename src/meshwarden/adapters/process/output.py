"""A child's output: bytes into bounded printable lines, and a log file of bounded size."""

import codecs
import io
import os
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Final

MAX_LINE: Final = 8192  # characters; longer lines go on in a further line
MAX_LOG_BYTES: Final = 16 << 20  # a log and its predecessor together take at most twice this


class Lines:
    """Cuts a stream of bytes into lines that a terminal shows as they are.

    Bytes that are no UTF-8 and control characters (an attacker may choose what a service logs, and
    a terminal obeys them) appear as escapes; only the tab stays.
    """

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")
        self._rest = ""

    def feed(self, chunk: bytes, *, final: bool = False) -> Iterator[str]:
        """Yield the lines that `chunk` completes; with `final` also an unfinished one."""
        *complete, self._rest = (self._rest + self._decoder.decode(chunk, final)).split("\n")
        for line in complete:
            yield from _pieces(line.removesuffix("\r"))
        while len(self._rest) > MAX_LINE or (final and self._rest):
            piece, self._rest = self._rest[:MAX_LINE], self._rest[MAX_LINE:]
            yield _printable(piece)


def _pieces(line: str) -> Iterator[str]:
    for start in range(0, max(len(line), 1), MAX_LINE):
        yield _printable(line[start : start + MAX_LINE])


def _printable(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(
        character
        if character == "\t" or unicodedata.category(character) not in {"Cc", "Cf", "Zl", "Zp"}
        else character.encode("unicode_escape").decode()
        for character in text
    )


class OutputLog:
    """Appends lines to a file; at `max_bytes` it becomes `<name>.1` and a new one begins.

    A disk that is full must not stop what is being logged: lines that cannot be written are counted
    in `lost`, and writing goes on where there is room again.
    """

    def __init__(self, path: Path, *, max_bytes: int = MAX_LOG_BYTES) -> None:
        self.lost = 0
        self._path = path
        self._max_bytes = max_bytes
        self._file = _open_private(path)

    def write(self, line: str) -> None:
        """Append `line`."""
        try:
            if self._file.tell() >= self._max_bytes:
                self._path.replace(self._path.with_name(self._path.name + ".1"))
                self._file.close()
                self._file = _open_private(self._path)
            self._file.write(f"{line}\n".encode(errors="backslashreplace"))
        except OSError:
            self.lost += 1

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _open_private(path: Path) -> io.FileIO:
    """Open a file to append to, that only its owner can read: services log what they like."""
    return io.FileIO(path, "ab", opener=lambda name, flags: os.open(name, flags, 0o600))
