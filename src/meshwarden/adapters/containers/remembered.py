"""What a container had before it was cut off, on disk: its engine forgets it, and we may be killed.

One file for each container, named by its id; it goes when the container has its network again.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from meshwarden.adapters.containers.codec import Container
from meshwarden.adapters.storage.durable import write_whole
from meshwarden.kernel import DependencyError


@dataclass(frozen=True, slots=True, kw_only=True)
class Before:
    """The networks of a container by name, and when its engine starts it again by itself."""

    networks: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    restart: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Remembered:
    """What is remembered in `folder`."""

    folder: Path

    def keep(self, container: Container) -> Before:
        """Return what it had; put on disk what it has now where nothing is there yet.

        A network that was connected after the first look is remembered too.

        Raises:
            DependencyError: `containers.remember` where the disk refuses: then nothing is cut that
                could not be given back.
        """
        known = self.of(container)
        networks = {**container.networks, **known.networks}
        restart = known.restart or dict(container.host_config.get("RestartPolicy") or {})
        before = Before(networks=networks, restart=restart)
        if before != known:
            self._store(container.id, before)
        return before

    def of(self, container: Container) -> Before:
        """Return what is remembered of it; nothing where it was not cut off."""
        try:
            found = json.loads(self._path(container.id).read_bytes())
            return Before(networks=dict(found["networks"]), restart=dict(found["restart"]))
        except FileNotFoundError:
            return Before()
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DependencyError(
                "containers.remember", f"{self._path(container.id)} cannot be read: {error}"
            ) from error

    def forget(self, container: Container) -> None:
        """Forget it."""
        self._path(container.id).unlink(missing_ok=True)

    def _store(self, name: str, before: Before) -> None:
        text = json.dumps(asdict(before))
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_whole(self._path(name), lambda path: _write(path, text), replaces=True)
        except OSError as error:
            raise DependencyError(
                "containers.remember", f"{self.folder}: {error.strerror}"
            ) from error

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.json"


def _write(path: Path, text: str) -> None:
    path.write_text(text)
