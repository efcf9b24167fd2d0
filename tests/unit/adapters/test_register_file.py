"""The register's file: nothing that was appended is lost, and nothing unreadable is passed over."""

import resource
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from meshwarden.adapters.storage import register as storage
from meshwarden.adapters.storage.register import FileRegister
from meshwarden.identity import Kind, Record
from meshwarden.kernel import DependencyError, StateError

NOW = datetime(2026, 3, 2, 10, 0, 0, 123456, tzinfo=UTC)


def issued(number: int, *, kind: Kind = Kind.ISSUED, life_h: float = 1) -> Record:
    return Record(
        time=NOW,
        kind=kind,
        identity="spiffe://test.example/front",
        instance="front",
        serial=2**100 + number,
        sha256=f"{number:064x}",
        issuer="ab",
        not_after=NOW + timedelta(hours=life_h),
    )


RECORDS = [
    issued(1),
    issued(2, kind=Kind.RENEWED),
    issued(1, kind=Kind.REVOKED),
    Record(time=NOW, kind=Kind.REFUSED, identity="spiffe://test.example/x", reason="no match"),
    Record(time=NOW, kind=Kind.WITHHELD, instance="front", reason="stolen"),
    Record(time=NOW, kind=Kind.RESTORED, instance="front"),
    Record(time=NOW, kind=Kind.LISTED, issuer="ab", number=7),
]


def test_what_was_appended_is_found_again_in_every_detail(tmp_path: Path) -> None:
    file = FileRegister(tmp_path / "identity.jsonl")
    file.append(RECORDS[:3])
    file.append(RECORDS[3:], durable=True)
    found = FileRegister(tmp_path / "identity.jsonl").load()
    assert list(found.issued.values()) == RECORDS[:2]
    assert list(found.revoked.values()) == [RECORDS[2]]
    assert list(found.refusals) == [RECORDS[3]]
    assert found.withheld == {}
    assert found.next_number("ab") == 8
    assert (tmp_path / "identity.jsonl").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("torn", [b'{"time":"2026', b'{"kind":"revoked"}', b"\xff"])
def test_a_line_that_a_crash_tore_is_cut_off(tmp_path: Path, torn: bytes) -> None:
    path = tmp_path / "identity.jsonl"
    FileRegister(path).append(RECORDS[:2])
    with path.open("ab") as file:
        file.write(torn)
    register = FileRegister(path)
    assert len(register.load().issued) == 2
    register.append([RECORDS[2]])
    assert len(FileRegister(path).load().revoked) == 1


@pytest.mark.parametrize(
    "line",
    [b"nonsense", b"[]", b'{"time":"2026-01-01T00:00:00","kind":"issued"}', b'{"kind":"issued"}',
     b'{"time":"2026-01-01T00:00:00Z","kind":"forgiven"}'],
)  # fmt: skip
def test_any_other_unreadable_line_stops_the_start_and_is_named(
    tmp_path: Path, line: bytes
) -> None:
    path = tmp_path / "identity.jsonl"
    FileRegister(path).append(RECORDS[:1])
    with path.open("ab") as file:
        file.write(line + b"\n")
    FileRegister(path).append(RECORDS[1:2])
    with pytest.raises(StateError) as refusal:
        FileRegister(path).load()
    assert refusal.value.code == "register.damaged"
    assert "identity.jsonl:2" in refusal.value.message


def test_a_full_disk_is_an_error_and_leaves_no_half_line(tmp_path: Path) -> None:
    path = tmp_path / "identity.jsonl"
    FileRegister(path).append(RECORDS[:1])
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 20, before[1]))
    try:
        with pytest.raises(DependencyError):
            FileRegister(path).append(RECORDS[1:2])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    FileRegister(path).append(RECORDS[2:3])
    found = FileRegister(path).load()
    assert (len(found.issued), len(found.revoked)) == (1, 1)


def test_it_is_rewritten_when_most_of_it_is_forgotten_and_revocations_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage, "_REWRITE_LINES", 10)
    path = tmp_path / "identity.jsonl"
    file = FileRegister(path)
    register = file.load()
    file.append([issued(number) for number in range(50)])
    file.append([issued(7, kind=Kind.REVOKED)])
    register = file.load()
    assert register.forget(now=NOW + timedelta(days=3))
    file.compact(register)
    assert len(path.read_bytes().splitlines()) == 1
    assert path.stat().st_mode & 0o777 == 0o600
    assert set(FileRegister(path).load().revoked) == {f"{7:064x}"}


WRITER = """
import sys
from pathlib import Path
from tests.unit.adapters.test_register_file import FileRegister, Kind, issued
file = FileRegister(Path(sys.argv[1]))
number = 0
while True:
    file.append([issued(number, kind=Kind.REVOKED)])
    print(number, flush=True)
    number += 1
"""


def test_a_writer_that_is_killed_loses_nothing_that_it_had_acknowledged(tmp_path: Path) -> None:
    path = tmp_path / "identity.jsonl"
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True
    )
    assert writer.stdout is not None
    with writer.stdout as said:
        for _ in range(100):
            said.readline()
        writer.kill()
        acknowledged = 100 + len([line for line in said.read().splitlines() if line])
    writer.wait()
    found = FileRegister(path).load().revoked
    assert len(found) >= acknowledged - 1
    assert set(found) == {f"{number:064x}" for number in range(len(found))}
