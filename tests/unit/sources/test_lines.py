"""Lines out of chunks: whatever the cuts, in bounded memory; gzip that breaks."""

import gzip
import hashlib
import io
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshwarden.adapters.sources.lines import DamagedError, LineCutter, TooLong, read_chunks


@given(
    lines=st.lists(st.binary(max_size=20).filter(lambda b: b"\n" not in b)), size=st.integers(1, 9)
)
def test_lines_do_not_depend_on_where_chunks_are_cut(lines: list[bytes], size: int) -> None:
    whole = b"\n".join(lines)
    cutter = LineCutter(max_line_bytes=12)
    found: list[bytes | TooLong] = []
    for at in range(0, len(whole), size):
        block = cutter.cut(whole[at : at + size])
        assert block.first == len(found) + 1
        found += block.lines
    found += cutter.end().lines
    sizes = [line.octets if isinstance(line, TooLong) else len(line) for line in found]
    expected = whole.split(b"\n")
    assert sizes == [len(line) for line in (expected[:-1] if not expected[-1] else expected)]
    assert all(isinstance(line, TooLong) == (n > 12) for line, n in zip(found, sizes, strict=True))


def test_an_endless_line_is_not_held() -> None:
    cutter = LineCutter(max_line_bytes=1000)
    for _ in range(200):
        assert cutter.cut(b"x" * 100_000).lines == []
        assert len(cutter._rest) <= 1000
    (line,) = cutter.cut(b"x\n").lines
    assert isinstance(line, TooLong)
    assert (line.octets, len(line.head)) == (20_000_001, 2048)


def test_gzip_of_several_members_is_unpacked() -> None:
    packed = gzip.compress(b"one\n") + gzip.compress(b"two\n" * 100_000)
    assert b"".join(read_chunks(io.BytesIO(packed), chunk_bytes=7)) == b"one\n" + b"two\n" * 100_000


def test_a_bomb_comes_in_bounded_chunks() -> None:
    packed = gzip.compress(b"\0" * 50_000_000)
    assert max(len(chunk) for chunk in read_chunks(io.BytesIO(packed))) <= 1024**2


@pytest.mark.parametrize("damage", [lambda b: b[:-20], lambda b: b[:60] + b"\xff" * 40 + b[100:]])
def test_damaged_gzip_gives_what_it_can_and_says_so(damage: object) -> None:
    packed = damage(gzip.compress(bytes(range(256)) * 40))  # type: ignore[operator]
    chunks = read_chunks(io.BytesIO(packed), chunk_bytes=16)
    with pytest.raises(DamagedError, match="gzip"):
        list(chunks)


def _until_damage(packed: bytes) -> bytes:
    found = bytearray()
    chunks = read_chunks(io.BytesIO(packed))
    with pytest.raises(DamagedError, match="gzip is damaged"):
        list(map(found.extend, chunks))
    return bytes(found)


def test_a_wrong_checksum_takes_nothing_away() -> None:
    text = b"".join(b"line %d\n" % number for number in range(500))
    packed = bytearray(gzip.compress(text))
    packed[-8] ^= 1
    assert _until_damage(bytes(packed)) == text
    assert _until_damage(gzip.compress(text) + bytes(packed) * 2) == text * 2
    assert _until_damage(gzip.compress(text) + b"trailing words") == text


@pytest.mark.parametrize("place", [11, 100, 5_000, 20_000])
def test_lines_before_the_damage_are_kept(place: int) -> None:
    text = b"".join(
        hashlib.sha256(b"%d" % number).hexdigest().encode() + b"\n" for number in range(1000)
    )
    packed = bytearray(gzip.compress(text))
    before = len(zlib.decompressobj(wbits=31).decompress(bytes(packed[:place])))
    packed[place : place + 64] = b"\xff" * 64
    found = _until_damage(bytes(packed))
    assert len(found) >= before - 258  # a match that was under way
    assert text.startswith(found[: before - 258])
