"""The authority's files: private from the first byte, whole or absent, found again."""

import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from tests.unit.identity.forge import DOMAIN, NOW, forge_ca, key_pem, pem

from meshwarden.adapters.storage.authority import load_brought_authority, load_or_create_authority
from meshwarden.identity import Authority
from meshwarden.kernel import ConfigError, DependencyError, StateError

YEAR = timedelta(days=365)
FILES = {"root.pem", "root.key", "intermediate.pem"}


def load(directory: Path, *, days: float = 0, domain: str = DOMAIN) -> Authority:
    return load_or_create_authority(directory, domain, now=NOW + timedelta(days=days))


def names(directory: Path) -> set[str]:
    return {path.name for path in directory.iterdir()}


def refusal_of(directory: Path, *, days: float = 0) -> StateError:
    with pytest.raises(StateError) as refusal:
        load(directory, days=days)
    return refusal.value


def test_it_is_created_once_and_found_again(tmp_path: Path) -> None:
    first = load(tmp_path / "state/ca")
    again = load(tmp_path / "state/ca")
    assert (first.issuer, first.bundle) == (again.issuer, again.bundle)
    assert names(tmp_path / "state/ca") == FILES
    assert names(tmp_path / "state") == {"ca"}


def test_an_empty_directory_is_filled(tmp_path: Path) -> None:
    (tmp_path / "ca").mkdir(mode=0o755)
    load(tmp_path / "ca")
    assert (tmp_path / "ca").stat().st_mode & 0o777 == 0o700


def test_nothing_is_readable_by_others_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        load(tmp_path / "state/ca")
    finally:
        os.umask(before)
    for path in (tmp_path / "state", tmp_path / "state/ca", *(tmp_path / "state/ca").iterdir()):
        assert path.stat().st_mode & 0o077 == 0, path


@pytest.mark.parametrize("name", ["root.key", "intermediate.pem", "."])
def test_what_others_can_read_is_refused(tmp_path: Path, name: str) -> None:
    load(tmp_path)
    (tmp_path / name).chmod(0o755 if name == "." else 0o640)
    refusal = refusal_of(tmp_path)
    assert refusal.code == "authority.readable"
    assert "chmod" in refusal.hint


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_key_of_another_account_is_refused(tmp_path: Path) -> None:
    load(tmp_path)
    os.chown(tmp_path / "root.key", 12345, 12345)
    assert refusal_of(tmp_path).code == "authority.readable"


def test_a_missing_intermediate_is_made_again_from_the_root(tmp_path: Path) -> None:
    first = load(tmp_path)
    (tmp_path / "intermediate.pem").unlink()
    again = load(tmp_path)
    assert again.issuer != first.issuer
    assert again.bundle == first.bundle


def test_without_the_roots_key_the_intermediate_still_issues(tmp_path: Path) -> None:
    first = load(tmp_path)
    (tmp_path / "root.key").unlink()
    assert load(tmp_path, days=300).issuer == first.issuer


@pytest.mark.parametrize("gone", [{"root.pem"}, {"root.key", "intermediate.pem"}])
def test_what_cannot_be_made_again_is_named(tmp_path: Path, gone: set[str]) -> None:
    load(tmp_path)
    for name in gone:
        (tmp_path / name).unlink()
    refusal = refusal_of(tmp_path)
    assert refusal.code == "authority.incomplete"
    assert "restore it from a backup" in refusal.hint


@pytest.mark.parametrize(
    ("name", "other"),
    [("root.key", "root.key"), ("intermediate.pem", "intermediate.pem"), ("root.pem", "root.pem")],
)
def test_files_of_two_authorities_do_not_mix(tmp_path: Path, name: str, other: str) -> None:
    for directory in ("one", "two"):
        load(tmp_path / directory)
    (tmp_path / "one" / name).write_bytes((tmp_path / "two" / other).read_bytes())
    assert refusal_of(tmp_path / "one").code == "authority.damaged"


@pytest.mark.parametrize("name", sorted(FILES))
@pytest.mark.parametrize("keep", [0, 100])
def test_a_truncated_file_is_named(tmp_path: Path, name: str, keep: int) -> None:
    load(tmp_path)
    path = tmp_path / name
    path.write_bytes(path.read_bytes()[:keep])
    refusal = refusal_of(tmp_path)
    assert refusal.code == "authority.damaged"
    assert name in refusal.message


def test_another_trust_domain_is_refused(tmp_path: Path) -> None:
    load(tmp_path)
    with pytest.raises(StateError, match=r"not of spiffe://other\.example"):
        load(tmp_path, domain="other.example")


def test_the_intermediate_is_replaced_at_once_only_when_it_has_ended(tmp_path: Path) -> None:
    first = load(tmp_path)
    assert load(tmp_path, days=360).issuer == first.issuer
    second = load(tmp_path, days=370)
    assert second.issuer != first.issuer
    assert second.bundle == first.bundle
    assert names(tmp_path) == FILES


def test_it_recovers_from_a_clock_that_was_ahead(tmp_path: Path) -> None:
    load(tmp_path)
    load(tmp_path, days=400)
    assert load(tmp_path).not_before < NOW


def test_a_clock_beyond_the_roots_life_is_refused(tmp_path: Path) -> None:
    load(tmp_path)
    assert "clock" in str(refusal_of(tmp_path, days=3700))
    assert "clock" in str(refusal_of(tmp_path, days=-10))


@contextmanager
def files_limited_to(size: int) -> Iterator[None]:
    """The kernel refuses to write a file beyond `size`, as a full disk does."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("size", [0, 500])
def test_a_full_disk_leaves_nothing_half_written(tmp_path: Path, size: int) -> None:
    with files_limited_to(size), pytest.raises(DependencyError) as refusal:
        load(tmp_path / "ca")
    assert refusal.value.code == "authority.storage"
    assert names(tmp_path) == set()
    assert load(tmp_path / "ca")


def test_a_full_disk_keeps_the_old_intermediate(tmp_path: Path) -> None:
    first = load(tmp_path)
    with files_limited_to(100), pytest.raises(DependencyError):
        load(tmp_path, days=400)
    assert names(tmp_path) == FILES
    assert load(tmp_path).issuer == first.issuer


def test_what_a_crash_left_behind_is_removed(tmp_path: Path) -> None:
    (tmp_path / ".ca.new-abc").mkdir()
    (tmp_path / ".ca.new-abc/root.key").write_text("half")
    load(tmp_path / "ca")
    (tmp_path / "ca/.intermediate.pem.new-1").write_text("half")
    load(tmp_path / "ca", days=400)
    assert names(tmp_path) == {"ca"}
    assert names(tmp_path / "ca") == FILES


def test_a_place_that_is_no_directory_is_named(tmp_path: Path) -> None:
    (tmp_path / "ca").write_text("a file")
    with pytest.raises(DependencyError, match=str(tmp_path / "ca")):
        load(tmp_path / "ca")


def test_processes_that_start_together_agree_on_one_root(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from meshwarden.adapters.clock import SystemClock\n"
        "from meshwarden.adapters.storage.authority import load_or_create_authority as load\n"
        "input(); print(load(Path(sys.argv[1]), 'a.example', now=SystemClock().now()).bundle.pem)"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "ca")]
    together = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) for _ in range(4)
    ]
    for process in together:
        assert process.stdin
        process.stdin.write(b"\n")
        process.stdin.flush()
    assert len({process.communicate()[0] for process in together}) == 1
    assert names(tmp_path) == {"ca"}


def test_a_brought_authority_is_loaded(tmp_path: Path) -> None:
    certificate, key = forge_ca(None, "corporate")
    (tmp_path / "ca.pem").write_bytes(pem(certificate))
    (tmp_path / "ca.key").touch(mode=0o600)
    (tmp_path / "ca.key").write_bytes(key_pem(key))
    found = load_brought_authority(
        DOMAIN, certificates=tmp_path / "ca.pem", key=tmp_path / "ca.key", now=NOW
    )
    assert found.issuer == certificate


def test_what_is_wrong_with_a_brought_authority_is_said(tmp_path: Path) -> None:
    certificate, key = forge_ca(None, "corporate")
    certificates, key_file = tmp_path / "ca.pem", tmp_path / "ca.key"
    with pytest.raises(ConfigError, match=r"cannot read .*ca\.pem: No such file"):
        load_brought_authority(DOMAIN, certificates=certificates, key=key_file, now=NOW)
    certificates.write_bytes(pem(certificate))
    key_file.write_bytes(key_pem(key))
    key_file.chmod(0o644)
    with pytest.raises(StateError, match="others may have read it"):
        load_brought_authority(DOMAIN, certificates=certificates, key=key_file, now=NOW)
    key_file.chmod(0o600)
    with pytest.raises(ConfigError, match=r"ca\.pem: certificate CN=corporate expired"):
        load_brought_authority(DOMAIN, certificates=certificates, key=key_file, now=NOW + YEAR)
