"""Control groups, on a directory in the place of the kernel's file system."""

from pathlib import Path

from meshwarden.adapters.process.cgroup import ControlGroups


def hierarchy(folder: Path, passed: str) -> Path:
    (folder / "mesh").mkdir()
    for group in (folder, folder / "mesh"):
        (group / "cgroup.subtree_control").write_text(passed)
    return folder


def test_a_service_gets_its_limits(tmp_path: Path) -> None:
    groups = ControlGroups.make("mesh", hierarchy(tmp_path, "cpu memory pids"))
    assert groups
    group = groups.add("ledger", memory_bytes=1 << 30, pids=64)
    assert (group / "memory.max").read_text() == "1073741824"
    assert (group / "pids.max").read_text() == "64"
    free = groups.add("free", memory_bytes=None, pids=4096)
    assert (free / "memory.max").read_text() == "max"
    assert groups.directories == [group, free, tmp_path / "mesh"]


def test_controllers_are_passed_on_only_where_they_are_missing(tmp_path: Path) -> None:
    assert ControlGroups.make("mesh", hierarchy(tmp_path, "memory"))
    assert (tmp_path / "cgroup.subtree_control").read_text() == "+pids"


def test_without_the_second_version_there_are_none(tmp_path: Path) -> None:
    assert ControlGroups.make("mesh", tmp_path) is None
    assert list(tmp_path.iterdir()) == []
