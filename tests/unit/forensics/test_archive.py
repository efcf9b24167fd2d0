"""An archive of a real process's evidence, what it leaves out, and what changing it does."""

import io
import json
import os
import resource
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from meshwarden.adapters.forensics import (
    ArchiveWriter,
    ProcessSet,
    Selection,
    changed_files,
    dump_memory,
    facts_of,
    verify_archive,
)
from meshwarden.adapters.forensics.facts import render_environment
from meshwarden.kernel import DependencyError, InputError, VerificationError
from meshwarden.response.evidence import public_key_of

KEY = Ed25519PrivateKey.generate()
SECRET = "hunter2-but-much-longer"
PROGRAM = "print('on', flush=True); secret = 'in ' + 'memory'; import time; time.sleep(600)"


@pytest.fixture
def suspect() -> Iterator[int]:
    environment = {"PATH": os.environ["PATH"], "LEDGER_PASSWORD": SECRET, "MODE": "fast"}
    child = subprocess.Popen(
        ["/usr/bin/python3", "-c", PROGRAM], stdout=subprocess.PIPE, env=environment
    )
    assert child.stdout
    assert child.stdout.readline()
    yield child.pid
    child.kill()
    child.wait(10)
    child.stdout.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "evidence.tar"


def finish(writer: ArchiveWriter) -> str:
    return writer.finish(
        incident="i1", suspect="spiffe://bank.example/a", taken=1, salt=b"salt", key=KEY
    )


def written(path: Path) -> str:
    with ArchiveWriter(path, max_bytes=1 << 20) as writer:
        writer.add("a", b"first")
        writer.add("b", b"second")
        return finish(writer)


def test_a_process_is_kept_with_its_secrets_hashed(suspect: int, path: Path) -> None:
    with ArchiveWriter(path, max_bytes=64 << 20) as writer:
        for name, content in facts_of(suspect, salt=b"salt"):
            writer.add(name, content)
        digest = finish(writer)
    manifest = verify_archive(path, key=public_key_of(KEY), digest=digest)
    names = {one.name.partition("/")[2] for one in manifest.kept}
    assert {"environment", "maps", "open-files", "net-tcp", "cmdline", "links", "status"} <= names
    raw = path.read_bytes()
    assert SECRET.encode() not in raw
    assert b"MODE=fast" in raw
    assert b"LEDGER_PASSWORD=sha256:" in raw


@pytest.mark.parametrize(
    "secret",
    [
        "DATABASE=postgresql://ledger:pw@db/books",
        "X=-----BEGIN PRIVATE KEY-----",
        "X=eyJhbGciOiJFUzI1NiJ9.e30.c2ln",
        "X=0123456789abcdef0123456789abcdef",
        "api_token=short",
    ],
)
def test_what_looks_like_a_secret_is_hashed_whatever_it_is_called(secret: str) -> None:
    value = secret.partition("=")[2]
    rendered = render_environment(secret.encode() + b"\0\0LANG=C\0", salt=b"s").decode()
    assert value not in rendered
    assert "LANG=C" in rendered


def test_memory_is_kept_of_a_stopped_process_where_it_fits(suspect: int, tmp_path: Path) -> None:
    found = ProcessSet(Selection(leader=suspect))
    found.stop()
    with pytest.raises(DependencyError, match=r"more than the 10 left|not installed"):
        dump_memory(suspect, tmp_path, max_bytes=10)
    try:
        core = dump_memory(suspect, tmp_path, max_bytes=1 << 30)
    except DependencyError as error:
        pytest.skip(error.message)
    assert b"in memory" in core.read_bytes()
    assert core.read_bytes().startswith(b"\x7fELF")


def test_files_that_changed_since_are_found_and_links_are_not_followed(
    suspect: int, tmp_path: Path
) -> None:
    (tmp_path / "old").write_text("x")
    since = (tmp_path / "old").stat().st_ctime_ns + 1
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "new").write_text("y")
    os.utime(tmp_path / "deep" / "new", (1, 1))  # set back by whoever wrote it
    (tmp_path / "link").symlink_to("/etc")
    found = list(changed_files(suspect, [str(tmp_path)], since=since))
    assert [one.path for one in found] == [str(tmp_path / "deep" / "new")]


def test_what_does_not_fit_is_dropped_and_said(path: Path) -> None:
    with ArchiveWriter(path, max_bytes=100_000) as writer:
        writer.add("calls", b"c" * 50_000)
        writer.add("memory", b"m" * 90_000)
        writer.add("log", b"l" * 10_000)
        writer.add_file("gone", path.parent / "gone")
        finish(writer)
    manifest = verify_archive(path)
    assert [one.name for one in manifest.kept] == ["calls", "log"]
    assert [one.name for one in manifest.dropped] == ["memory", "gone"]
    assert "90000 bytes" in manifest.dropped[0].reason
    assert path.stat().st_size <= 110_000


def test_a_link_in_place_of_a_file_is_not_followed(path: Path) -> None:
    (path.parent / "link").symlink_to("/etc/passwd")
    with ArchiveWriter(path, max_bytes=1 << 20) as writer:
        writer.add_file("link", path.parent / "link")
        finish(writer)
    assert [one.name for one in verify_archive(path).dropped] == ["link"]


def test_an_unfinished_archive_has_no_name(path: Path) -> None:
    with ArchiveWriter(path, max_bytes=1 << 20) as writer:
        writer.add("a", b"first")
    assert list(path.parent.iterdir()) == []


def rewritten(path: Path, change: dict[str, bytes | None]) -> Path:
    """Return a copy in which some files have other contents (None: are missing)."""
    other = path.with_name("other.tar")
    with tarfile.open(path) as old, tarfile.open(other, "w") as new:
        for member in old:
            content = old.extractfile(member)
            assert content
            data = change.get(member.name, content.read())
            if data is not None:
                member.size = len(data)
                new.addfile(member, io.BytesIO(data))
        for name in change.keys() - set(old.getnames()):
            added = tarfile.TarInfo(name)
            added.size = len(change[name] or b"")
            new.addfile(added, io.BytesIO(change[name] or b""))
    return other


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"a": b"FIRST"}, "evidence.content"),
        ({"a": None}, "evidence.content"),
        ({"c": b"planted"}, "evidence.content"),
        ({"manifest.sig": b"0" * 64}, "evidence.signature"),
        ({"manifest.sig": b""}, "evidence.signature"),
        ({"manifest.json": b"{}"}, "evidence.manifest"),
        ({"manifest.json": b"[" * 100_000}, "evidence.manifest"),
        ({"manifest.json": None}, "evidence.archive"),
    ],
)
def test_each_change_of_an_archive_shows(
    path: Path, change: dict[str, bytes | None], code: str
) -> None:
    written(path)
    with pytest.raises((VerificationError, InputError)) as refused:
        verify_archive(rewritten(path, change))
    assert refused.value.code == code


def test_an_archive_made_anew_is_not_the_one_on_record(path: Path) -> None:
    digest = written(path)
    with tarfile.open(path) as tar:
        content = tar.extractfile("manifest.json")
        assert content
        forged = json.loads(content.read())
    other = Ed25519PrivateKey.generate()
    forged["key"] = public_key_of(other)
    raw = json.dumps(forged).encode()
    anew = rewritten(path, {"manifest.json": raw, "manifest.sig": other.sign(raw)})
    assert verify_archive(anew).key == public_key_of(other)  # damage would show, this does not
    for known in ({"key": public_key_of(KEY)}, {"digest": digest}):
        with pytest.raises(VerificationError):
            verify_archive(anew, **known)


@pytest.mark.parametrize("raw", [b"", b"nonsense" * 1000, b"\x1f\x8b" + b"\0" * 600])
def test_what_is_no_archive_is_refused_in_one_line(path: Path, raw: bytes) -> None:
    path.write_bytes(raw)
    with pytest.raises(InputError) as refused:
        verify_archive(path)
    assert refused.value.code == "evidence.archive"
    with pytest.raises(InputError):
        verify_archive(path.with_name("missing"))


def test_a_full_disk_is_an_error_and_leaves_nothing(path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, before[1]))  # as a disk that is full
    try:
        with (
            ArchiveWriter(path, max_bytes=1 << 30) as writer,
            pytest.raises(DependencyError) as refused,
        ):
            writer.add("a", b"x" * (1 << 20))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert refused.value.code == "evidence.write"
    assert list(path.parent.iterdir()) == []
