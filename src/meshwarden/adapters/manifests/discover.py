"""Which files the named paths lead to, and their bytes.

- A file that is named is read, whatever its name; in a folder, `.yaml`, `.yml` and `.json` files.
- A folder with Chart.yaml or kustomization.yaml is a package: judged by its rendered output alone.
- Symbolic links are followed; a folder that was seen before, by device and inode, is not entered
  again, and a link that leads nowhere is a problem, not a pass.
- Hidden folders and `node_modules` are left out.
"""

import stat
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from meshwarden.adapters.manifests.documents import MAX_JSON_BYTES
from meshwarden.policy.gate.model import Problem

SUFFIXES = frozenset({".yaml", ".yml", ".json"})
CHART = ("Chart.yaml", "Chart.yml")
KUSTOMIZATION = ("kustomization.yaml", "kustomization.yml", "Kustomization")


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A file's name, its bytes (one more than is accepted at most), and whether it was named."""

    name: str
    raw: bytes
    named: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """A folder that has to be rendered: `helm` or `kustomize`."""

    folder: Path
    tool: str


@dataclass(slots=True)
class Discovery:
    """Walks paths once."""

    _seen: set[tuple[int, int]] = field(default_factory=set)

    def walk(self, paths: Sequence[str]) -> Iterator[Source | Package | Problem]:
        """Yield what there is under `paths`, in the order of names; `-` is standard input."""
        for path in paths:
            if path == "-":
                yield Source(name="-", raw=sys.stdin.buffer.read(MAX_JSON_BYTES + 1), named=True)
            else:
                yield from self._entry(Path(path), named=True)

    def _entry(self, path: Path, *, named: bool = False) -> Iterator[Source | Package | Problem]:
        try:
            status = path.stat()
        except OSError as error:
            if named or path.suffix in SUFFIXES:
                yield _unreadable(path, error)
            return
        if stat.S_ISDIR(status.st_mode):
            yield from self._folder(path, (status.st_dev, status.st_ino))
        elif stat.S_ISREG(status.st_mode):
            if named or path.suffix in SUFFIXES:
                yield _read(path, named=named)
        elif named and stat.S_ISFIFO(status.st_mode):
            yield _read(path, named=named)
        elif named:
            text = "neither a file nor a folder"
            yield Problem(source=str(path), line=1, code="gate.special", message=text)

    def _folder(
        self, path: Path, identity: tuple[int, int]
    ) -> Iterator[Source | Package | Problem]:
        if identity in self._seen:
            return
        self._seen.add(identity)
        try:
            names = sorted(entry.name for entry in path.iterdir())
        except OSError as error:
            yield _unreadable(path, error)
            return
        if any(name in names for name in CHART):
            yield Package(folder=path, tool="helm")
        elif any(name in names for name in KUSTOMIZATION):
            yield Package(folder=path, tool="kustomize")
        else:
            for name in names:
                if not name.startswith(".") and name != "node_modules":
                    yield from self._entry(path / name)


def _read(path: Path, *, named: bool) -> Source | Problem:
    try:
        with path.open("rb") as file:
            return Source(name=str(path), raw=file.read(MAX_JSON_BYTES + 1), named=named)
    except OSError as error:
        return _unreadable(path, error)


def _unreadable(path: Path, error: OSError) -> Problem:
    return Problem(
        source=str(path),
        line=1,
        code="gate.unreadable",
        message=f"cannot be read: {error.strerror}",
        hint="check the path and its permissions",
    )
