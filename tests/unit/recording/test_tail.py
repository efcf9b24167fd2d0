"""Reading a growing log: whole lines, rotations, files that somebody else touched."""

import io
from pathlib import Path

import pytest

from meshwarden.adapters.storage.tail import LogTail, Position

BIG = 65_536


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "access.log"


def _lines(tail: LogTail, position: Position) -> tuple[list[bytes], Position]:
    chunk = tail.read(position, max_bytes=BIG)
    return [line for _, line in chunk.lines], chunk.position


def test_a_log_that_does_not_exist_yet_is_drained(log: Path) -> None:
    assert LogTail(log).read(Position(), max_bytes=BIG).drained


def test_an_unfinished_line_waits_for_its_end(log: Path) -> None:
    tail = LogTail(log)
    log.write_bytes(b"one\ntw")
    lines, position = _lines(tail, Position())
    assert lines == [b"one"]
    log.write_bytes(b"one\ntwo\n")
    assert _lines(tail, position)[0] == [b"two"]


def test_a_reading_is_bounded(log: Path) -> None:
    log.write_bytes(b"one\ntwo\nthree\n")
    chunk = LogTail(log).read(Position(), max_bytes=6)
    assert ([line for _, line in chunk.lines], chunk.drained) == ([b"one"], False)


def test_a_line_without_an_end_does_not_stop_the_reading(log: Path) -> None:
    log.write_bytes(b"x" * 100)
    chunk = LogTail(log).read(Position(), max_bytes=10)
    assert [line for _, line in chunk.lines] == [b"x" * 10]
    assert chunk.position.offset == 10


def test_a_rotated_log_is_read_to_its_end_before_the_new_one(log: Path) -> None:
    tail = LogTail(log)
    log.write_bytes(b"one\n")
    _, position = _lines(tail, Position())
    with log.open("ab") as writer:
        tail.rotate(position)
        assert tail.unopened()
        writer.write(b"two\n")
        writer.flush()
        lines, position = _lines(tail, position)
        assert (lines, position.generation) == ([b"two"], 1)
    log.write_bytes(b"three\n")
    lines, position = _lines(tail, position)
    assert (lines, position.generation) == ([], 2)
    assert _lines(tail, position)[0] == [b"three"]


def test_a_torn_last_line_of_a_finished_file_is_given_out(log: Path) -> None:
    tail = LogTail(log)
    log.write_bytes(b"one\nto")
    tail.rotate(Position())
    log.write_bytes(b"")
    assert _lines(tail, Position())[0] == [b"one", b"to"]


def test_old_generations_are_removed_only_behind_the_position(log: Path) -> None:
    tail = LogTail(log)
    for _ in range(3):
        log.write_bytes(b"x\n")
        tail.rotate(Position())
    tail.remove_before(Position(generation=3))
    assert [path.name for path in log.parent.iterdir()] == ["access.log.3"]


@pytest.mark.parametrize("content", [b"other\nnew\n", b"n\n", b""])
def test_a_replaced_or_cut_file_is_read_from_its_start(log: Path, content: bytes) -> None:
    tail = LogTail(log)
    log.write_bytes(b"one\ntwo\n")
    _, position = _lines(tail, Position())
    log.write_bytes(content)
    chunk = tail.read(position, max_bytes=BIG)
    assert chunk.restarted
    assert [line for _, line in chunk.lines] == content.splitlines()


def test_the_backlog_counts_all_generations(log: Path) -> None:
    tail = LogTail(log)
    log.write_bytes(b"one\n")
    tail.rotate(Position())
    log.write_bytes(b"three\n")
    assert tail.backlog(Position()) == 10
    assert tail.backlog(Position(offset=4)) == 6
    assert tail.backlog(Position(generation=2, offset=6)) == 0


@pytest.mark.parametrize("before", [0, 10, 100])
def test_a_log_that_grows_while_it_is_read_for_the_first_time_is_itself(
    log: Path, monkeypatch: pytest.MonkeyPatch, before: int
) -> None:
    """Its writer adds lines between the reading of its first octets and of the rest."""
    line = b"x" * 9 + b"\n"

    class Growing(io.FileIO):
        def seek(self, offset: int, whence: int = 0) -> int:
            with log.open("ab") as writer:
                writer.write(line * 40)
            return super().seek(offset, whence)

    log.write_bytes(line * (before // 10))
    tail = LogTail(log)
    with monkeypatch.context() as patched:
        patched.setattr(
            "builtins.open", lambda path, mode, opener: Growing(path, mode, opener=opener)
        )
        first = tail.read(Position(), max_bytes=BIG)
    assert len(first.lines) == before // 10 + 40
    assert not tail.read(first.position, max_bytes=BIG).restarted
