"""Control groups (version 2): memory and processes of a service, with all that it starts.

Used where the machine lets us: the hierarchy is mounted, has both controllers, and we may make
groups at its top (in many containers we may not). Without them only limits by process remain.
Whoever makes a group tells the guard, which removes it when the mesh is over, however it ended.
"""

import contextlib
from pathlib import Path
from typing import Final

HIERARCHY: Final = Path("/sys/fs/cgroup")
CONTROLLERS: Final = frozenset({"memory", "pids"})


class ControlGroups:
    """The groups of one mesh, below one of its own. Made by `ControlGroups.make`."""

    def __init__(self, top: Path) -> None:
        self._top = top
        self._made: list[Path] = []

    @classmethod
    def make(cls, name: str, hierarchy: Path = HIERARCHY) -> "ControlGroups | None":
        """Return an empty group `name`; None where there can be none."""
        top = hierarchy / name
        try:
            _pass_on(hierarchy)
            top.mkdir(exist_ok=True)
            _pass_on(top)
        except OSError:
            with contextlib.suppress(OSError):
                top.rmdir()
            return None
        return cls(top)

    @property
    def directories(self) -> list[Path]:
        """All that was made, what is inside first."""
        return [*self._made, self._top]

    def add(self, name: str, *, memory_bytes: int | None, pids: int) -> Path:
        """Return a group with these limits; OSError where the kernel refuses."""
        group = self._top / name
        group.mkdir(exist_ok=True)
        (group / "memory.max").write_text("max" if memory_bytes is None else str(memory_bytes))
        (group / "pids.max").write_text(str(pids))
        self._made.append(group)
        return group


def _pass_on(group: Path) -> None:
    """Let the groups inside `group` have the controllers; OSError where that cannot be."""
    passed = set((group / "cgroup.subtree_control").read_text().split())
    if missing := CONTROLLERS - passed:
        wanted = " ".join(f"+{controller}" for controller in sorted(missing))
        (group / "cgroup.subtree_control").write_text(wanted)
