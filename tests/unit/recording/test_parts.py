"""Parts of the record: whole or not there, merged without doubling, bounded, one writer."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from meshwarden.adapters.storage.calls import load_calls
from meshwarden.adapters.storage.parts import PartWriter, list_parts, read_checkpoint
from meshwarden.kernel import Call, StateError, calls_to_table


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[PartWriter]:
    made = PartWriter(tmp_path / "calls", max_bytes=10**9)
    yield made
    made.close()


def _call(time: int) -> Call:
    return Call(time=time, source="unknown", destination="unknown", protocol="http", reporter="t")


def _store(writer: PartWriter, *times: int) -> None:
    writer.store(calls_to_table([_call(time) for time in times]), str(times[-1]).encode())


def _times(folder: Path) -> list[int]:
    found: list[int] = load_calls([folder]).table["time"].cast("int64").to_pylist()
    return found


def test_parts_are_read_in_the_order_in_which_they_were_written(writer: PartWriter) -> None:
    _store(writer, 2, 3)
    _store(writer, 1)
    assert _times(writer.folder) == [2, 3, 1]


def test_the_newest_part_carries_the_checkpoint(writer: PartWriter) -> None:
    _store(writer, 1)
    _store(writer, 2)
    newest = writer.newest()
    assert newest is not None
    assert read_checkpoint(newest) == b"2"


def test_merging_keeps_every_call_once_and_the_last_checkpoint(writer: PartWriter) -> None:
    for time in range(1, 34):
        _store(writer, time)
    while writer.compact():
        pass
    assert [part.span for part in list_parts(writer.folder)] == [16, 16, 1]
    assert _times(writer.folder) == list(range(1, 34))
    assert read_checkpoint(list_parts(writer.folder)[1]) == b"32"


def test_a_merge_that_was_cut_off_before_the_removal_shows_each_call_once(
    writer: PartWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    for time in range(1, 18):
        _store(writer, time)
    monkeypatch.setattr(writer, "_remove", lambda _: None)
    writer.compact()
    assert len(list(writer.folder.glob("*.parquet"))) == 18
    assert _times(writer.folder) == list(range(1, 18))
    writer.close()
    again = PartWriter(writer.folder, max_bytes=10**9)
    assert len(list(writer.folder.glob("*.parquet"))) == 2
    again.close()
    monkeypatch.undo()
    writer._lock = PartWriter(writer.folder, max_bytes=10**9)._lock


def test_the_oldest_parts_go_beyond_the_bound_and_the_newest_stays(tmp_path: Path) -> None:
    writer = PartWriter(tmp_path, max_bytes=1)
    for time in (1, 2, 3):
        _store(writer, time)
    assert writer.enforce_bound() == (2, 2)
    assert _times(tmp_path) == [3]
    writer.close()


def test_a_second_writer_is_refused(writer: PartWriter) -> None:
    with pytest.raises(StateError, match="another process"):
        PartWriter(writer.folder, max_bytes=1)


def test_a_full_disk_leaves_nothing_behind(
    writer: PartWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("meshwarden.adapters.storage.parts.pq.write_table", refuse)
    with pytest.raises(OSError, match="No space"):
        _store(writer, 1)
    assert [path.name for path in writer.folder.iterdir()] == [".lock"]


def test_a_part_that_is_no_parquet_is_named(writer: PartWriter) -> None:
    (writer.folder / f"calls-{1:012}-{1:012}.parquet").write_bytes(b"junk")
    with pytest.raises(StateError, match="not readable"):
        read_checkpoint(list_parts(writer.folder)[0])
