from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from meshwarden.adapters.process.output import MAX_LINE, Lines, OutputLog


def lines_of(*chunks: bytes) -> list[str]:
    lines = Lines()
    found = [line for chunk in chunks for line in lines.feed(chunk)]
    return [*found, *lines.feed(b"", final=True)]


def test_lines_are_cut_wherever_the_chunks_are() -> None:
    assert lines_of(b"one\ntw", b"o\r\n", b"\nthr", b"ee") == ["one", "two", "", "three"]


def test_a_character_may_be_split_between_chunks() -> None:
    assert lines_of("ü€".encode()[:3], "ü€".encode()[3:]) == ["ü€"]


def test_bytes_that_are_no_text_and_controls_that_a_terminal_obeys_are_escaped() -> None:
    assert lines_of(b"\xff\x00\x1b[2Jx\ty\n") == ["\\xff\\x00\\x1b[2Jx\ty"]
    assert lines_of("\u202eevil\n".encode()) == ["\\u202eevil"]


def test_a_line_without_end_is_cut_and_loses_nothing() -> None:
    found = lines_of(*[b"x" * 5000] * 10)
    assert "".join(found) == "x" * 50_000
    assert max(map(len, found)) == MAX_LINE


@given(st.lists(st.binary(max_size=50)))
def test_chunks_make_no_difference(chunks: list[bytes]) -> None:
    assert lines_of(*chunks) == lines_of(b"".join(chunks))


def test_log_is_bounded_by_itself_and_its_predecessor(tmp_path: Path) -> None:
    log = OutputLog(tmp_path / "a.log", max_bytes=100)
    for number in range(100):
        log.write(f"line {number:03}")
    log.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.log", "a.log.1"]
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 220
    assert (tmp_path / "a.log").read_text().endswith("line 099\n")


def test_log_that_cannot_be_written_counts_what_it_lost() -> None:
    log = OutputLog(Path("/dev/full"))
    log.write("gone")
    log.close()
    assert log.lost == 1
