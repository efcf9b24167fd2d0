"""Growing files: appended, rotated, cut; and the calls that come of them."""

import gzip
import json
import os
import threading
from pathlib import Path

import pytest

from meshwarden.adapters.sources.follow import FollowedFile
from meshwarden.control.sources import SourceOptions, open_source
from meshwarden.kernel import InputError


def _append(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)


def test_what_is_added_comes_once(tmp_path: Path) -> None:
    log = tmp_path / "log"
    followed = FollowedFile(log)
    assert followed.read() == b""
    _append(log, b"one\n")
    assert followed.read() == b"one\n"
    assert followed.read() == b""
    _append(log, b"two\n")
    assert followed.read() == b"two\n"
    followed.close()


def test_rotation_loses_nothing(tmp_path: Path) -> None:
    log = tmp_path / "log"
    _append(log, b"one\n")
    followed = FollowedFile(log)
    followed.read()
    _append(log, b"two\n")
    log.rename(tmp_path / "log.1")
    _append(tmp_path / "log.1", b"three\n")
    assert followed.read() == b"two\nthree\n"
    assert followed.read() == b""
    _append(log, b"four\n")
    assert followed.read() == b"four\n"
    assert followed.renewed == 1
    followed.close()


def test_a_cut_file_begins_anew(tmp_path: Path) -> None:
    log = tmp_path / "log"
    _append(log, b"one\ntwo\n")
    followed = FollowedFile(log)
    followed.read()
    os.truncate(log, 0)
    _append(log, b"new\n")
    assert followed.read() == b"new\n"
    followed.close()


LINE = {
    "start_time": "2026-11-23T17:00:00Z", "method": "GET", "path": "/a", "response_code": 200,
    "response_flags": "-", "upstream_cluster": "ledger",
}  # fmt: skip


@pytest.mark.timeout(60)
def test_calls_come_while_the_log_grows_through_a_rotation(tmp_path: Path) -> None:
    log, stop = tmp_path / "access.log", threading.Event()
    source = open_source([log], options=SourceOptions(stop=stop, interval_s=0.01))
    batches = iter(source)
    line = json.dumps(LINE).encode()
    _append(log, line + b"\n" + line[:20])
    assert next(batches).num_rows == 1
    _append(log, line[20:] + b"\n")
    assert next(batches).num_rows == 1
    log.rename(tmp_path / "access.log.1")
    _append(log, b"torn" + line + b"\n" + line + b"\n")
    assert next(batches).num_rows == 1
    stop.set()
    assert list(batches) == []
    assert source.report.calls == 3
    assert dict(source.report.set_aside) == {"not JSON": 1}
    assert any("rotated or cut" in note for note in source.report.notes)


@pytest.mark.timeout(60)
def test_what_was_packed_away_beside_a_growing_log_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "access.log.1.gz").write_bytes(gzip.compress(json.dumps(LINE).encode() + b"\n"))
    (tmp_path / "access.log").write_bytes(json.dumps(LINE).encode() + b"\n")
    stop = threading.Event()
    source = open_source([tmp_path], options=SourceOptions(stop=stop, interval_s=0.01))
    batches = iter(source)
    assert next(batches).num_rows == 1
    stop.set()
    assert list(batches) == []
    assert dict(source.report.notes) == {
        f"{tmp_path / 'access.log.1.gz'}: gzip cannot be followed (left out)": 1
    }


@pytest.mark.timeout(60)
def test_where_all_was_packed_nothing_is_waited_for(tmp_path: Path) -> None:
    (tmp_path / "access.log.1.gz").write_bytes(gzip.compress(b"{}\n"))
    source = open_source([tmp_path], options=SourceOptions(stop=threading.Event()))
    with pytest.raises(InputError, match="gzip cannot be followed"):
        list(source)
