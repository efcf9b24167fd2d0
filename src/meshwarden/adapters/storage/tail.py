"""Reads a growing log from where it was left, across rotations, in bounded chunks.

A log is `access.log`, and what was renamed away from it: `access.log.1`, `access.log.2`, ... The
number is its generation; the live file has the next one. Only `rotate` renames, so a stored
position (generation, offset) finds its place again after any crash. A position also holds a digest
of the file's first octets: a file that somebody else replaced or cut is read from its start.
"""

import errno
import hashlib
import os
import re
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path
from typing import Final

_HEAD_BYTES: Final = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """How far a log has been read: `offset` octets of `generation`, which began with `head`."""

    generation: int = 1
    offset: int = 0
    head: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """What one reading gave.

    Attributes:
        lines: whole lines without their ends, each with its offset.
        generation: of the file that they are from.
        position: where the next reading starts.
        drained: whether nothing more was there to read.
        restarted: whether the file was not the one that the position was about.
    """

    lines: list[tuple[int, bytes]]
    generation: int
    position: Position
    drained: bool
    restarted: bool = False

    @property
    def octets(self) -> int:
        """How long the lines are, their ends included."""
        return sum(len(line) + 1 for _, line in self.lines)


class LogTail:
    """One log and its generations.

    Args:
        path: the live file; it need not exist yet.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._numbered = re.compile(re.escape(path.name) + r"\.(\d{1,12})")

    def read(self, position: Position, *, max_bytes: int) -> Chunk:
        """Return the lines after `position`, at most `max_bytes` of them; OSError where that fails.

        A last line without its end is left for the next reading, unless its generation is over or
        it is as long as `max_bytes`: then it comes as it is.
        """
        position, over = self._place(position)
        file = self._file(position.generation)
        try:
            with open(file, "rb", opener=_open_itself) as handle:  # it takes none
                head = handle.read(_HEAD_BYTES)
                restarted = _digest(head, position.offset) != position.head
                if restarted:
                    position = replace(position, offset=0, head="")
                handle.seek(position.offset)
                data = handle.read(max_bytes)
                if len(head) < _HEAD_BYTES:  # the file may have grown since
                    head = (head[: position.offset] + data)[:_HEAD_BYTES]
        except FileNotFoundError:
            return Chunk(
                lines=[], generation=position.generation, position=position, drained=not over
            )
        ended = len(data) < max_bytes
        endless = not ended and b"\n" not in data
        lines, used = _split(data, at=position.offset, final=endless or (ended and over))
        moved = position.offset + used
        after = replace(position, offset=moved, head=_digest(head, moved))
        if ended and over:
            after = Position(generation=position.generation + 1)
        return Chunk(
            lines=lines,
            generation=position.generation,
            position=after,
            drained=ended and not over,
            restarted=restarted,
        )

    def backlog(self, position: Position) -> int:
        """Return how many octets are still to be read."""
        sizes = {number: self._size(self._rotated(number)) for number in self._numbers()}
        sizes[self.live(position)] = self._size(self.path)
        return sum(
            max(0, size - (position.offset if number == position.generation else 0))
            for number, size in sizes.items()
            if number >= position.generation
        )

    def live(self, position: Position) -> int:
        """Return the generation of the live file."""
        return max([position.generation, *(number + 1 for number in self._numbers())])

    def size(self) -> int:
        """Return the size of the live file; 0 where there is none."""
        return self._size(self.path)

    def rotate(self, position: Position) -> None:
        """Give the live file its number; its writer has to be asked to open a new one."""
        self.path.rename(self._rotated(self.live(position)))

    def unopened(self) -> bool:
        """Return whether the writer has not opened a new file since the last rotation."""
        return not self.path.exists() and bool(self._numbers())

    def oldest(self, position: Position) -> Position | None:
        """Return the start of the generation after that of `position`; None where that is live."""
        position, over = self._place(position)
        return Position(generation=position.generation + 1) if over else None

    def remove_before(self, position: Position) -> None:
        """Delete the generations that `position` has left behind."""
        for number in self._numbers():
            if number < position.generation:
                self._rotated(number).unlink(missing_ok=True)

    def _place(self, position: Position) -> tuple[Position, bool]:
        """Return the position on a generation that is there, and whether that one is over.

        A generation is over, nothing more comes to it, once the writer has opened its successor.
        """
        numbers = self._numbers()
        later = [number for number in numbers if number >= position.generation]
        if later and later[0] > position.generation:
            position = Position(generation=later[0])
        succeeded = len(later) > 1 or self.path.exists()
        return position, bool(later) and succeeded

    def _file(self, generation: int) -> Path:
        numbered = self._rotated(generation)
        return numbered if numbered.exists() else self.path

    def _rotated(self, generation: int) -> Path:
        return self.path.with_name(f"{self.path.name}.{generation}")

    def _numbers(self) -> list[int]:
        try:
            names = [entry.name for entry in self.path.parent.iterdir()]
        except (FileNotFoundError, NotADirectoryError):
            return []
        found = (self._numbered.fullmatch(name) for name in names)
        return sorted(int(match.group(1)) for match in found if match)

    @staticmethod
    def _size(path: Path) -> int:
        try:
            return path.stat().st_size
        except (FileNotFoundError, NotADirectoryError):
            return 0


def end_last_line(path: Path) -> None:
    """End the last line of a log whose writer is gone, and may have been killed within it.

    The next writer's first line would otherwise be lost with it. OSError where the disk refuses.
    """
    try:
        file = _open_itself(str(path), os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        size = os.fstat(file).st_size
        if size and os.pread(file, 1, size - 1) != b"\n":
            os.write(file, b"\n")
    finally:
        os.close(file)


def _open_itself(path: str, flags: int) -> int:
    """Open a file whose directory may belong to another user: a link of his making is no log."""
    try:
        return os.open(path, flags | os.O_NOFOLLOW)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise FileNotFoundError(errno.ENOENT, "a link, not a log", path) from error
        raise


def _digest(head: bytes, offset: int) -> str:
    """Return the digest of what is known of a file read up to `offset`; none of an unread one."""
    known = min(offset, _HEAD_BYTES)
    if known > len(head):
        return "short"
    return hashlib.sha256(head[:known]).hexdigest()[:32] if known else ""


def _split(data: bytes, *, at: int, final: bool) -> tuple[list[tuple[int, bytes]], int]:
    """Return the lines of `data`, which begins `at` an offset, and how much of it they use up.

    `final`: what stands after the last line end is a line too.
    """
    used = len(data) if final else data.rfind(b"\n") + 1
    lines = data[:used].split(b"\n")
    starts = accumulate((len(line) + 1 for line in lines), initial=at)
    return [(start, line) for start, line in zip(starts, lines, strict=False) if line.strip()], used
