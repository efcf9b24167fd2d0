"""Cuts a stream of octets into lines, block by block, in bounded memory.

A line longer than the bound is never held: its first octets stand for it, and its size. Gzip is
unpacked on the way, several members too; one that ends early gives what could be unpacked, and
says so.
"""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Final

CHUNK_BYTES: Final = 1024**2
_HEAD_BYTES: Final = 2048
_GZIP: Final = b"\x1f\x8b"


@dataclass(frozen=True, slots=True, kw_only=True)
class TooLong:
    """A line beyond the bound: its first octets, and how many there were in all."""

    head: bytes
    octets: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Some lines without their ends; `first` is the 1-based number of the first of them."""

    first: int
    lines: list[bytes | TooLong]


class DamagedError(ValueError):
    """The stream ends or breaks within its compression; what came before was good."""


def read_chunks(stream: BinaryIO, *, chunk_bytes: int = CHUNK_BYTES) -> Iterator[bytes]:
    """Return the octets of `stream`, unpacked where it is gzip.

    Raises:
        DamagedError: at the end of what could be unpacked.
    """
    first = stream.read(chunk_bytes)
    if not first.startswith(_GZIP):
        while first:
            yield first
            first = stream.read(chunk_bytes)
        return
    unpack, data, taken = zlib.decompressobj(wbits=31), first, chunk_bytes
    while data:
        before, rest = unpack.copy(), data[taken:]
        try:
            out = unpack.decompress(data[:taken], chunk_bytes)
        except zlib.error as error:
            # What this call unpacked went with it: once more, by half as much at a time.
            unpack, taken = before, min(taken, len(data)) // 2
            if not taken:
                raise DamagedError("gzip is damaged") from error
            continue
        if out:
            yield out
        data = unpack.unconsumed_tail + rest
        if unpack.eof:
            data = (unpack.unused_data + rest).lstrip(b"\0") or stream.read(chunk_bytes)
            if data:
                unpack = zlib.decompressobj(wbits=31)
        elif not data:
            data = stream.read(chunk_bytes)
    if not unpack.eof:
        raise DamagedError("gzip ends early")


class LineCutter:
    """Cuts chunks into blocks of lines; what has no end yet waits for the next chunk."""

    def __init__(self, *, max_line_bytes: int) -> None:
        self._max = max_line_bytes
        self._number = 1
        self._rest = b""
        self._long: TooLong | None = None

    def cut(self, chunk: bytes) -> Block:
        """Return the lines that `chunk` ends."""
        whole = chunk.split(b"\n")
        pieces: list[bytes | TooLong] = [self._joined(whole[0]), *whole[1:]]
        rest = pieces.pop()
        self._long = rest if isinstance(rest, TooLong) else None
        self._rest = b"" if isinstance(rest, TooLong) else rest
        if len(self._rest) > self._max:
            self._long = TooLong(head=self._rest[:_HEAD_BYTES], octets=len(self._rest))
            self._rest = b""
        return self._block(pieces)

    def end(self) -> Block:
        """Return the last line, which nothing ended."""
        last = self._long or self._rest
        self._long, self._rest = None, b""
        return self._block([last] if last else [])

    def _joined(self, piece: bytes) -> bytes | TooLong:
        if self._long is None:
            return self._rest + piece if self._rest else piece
        return TooLong(head=self._long.head, octets=self._long.octets + len(piece))

    def _block(self, lines: list[bytes | TooLong]) -> Block:
        first = self._number
        self._number += len(lines)
        return Block(first=first, lines=[self._bounded(line) for line in lines])

    def _bounded(self, line: bytes | TooLong) -> bytes | TooLong:
        if isinstance(line, TooLong) or len(line) <= self._max:
            return line
        return TooLong(head=line[:_HEAD_BYTES], octets=len(line))
