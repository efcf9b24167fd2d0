"""What a container leaves behind, by its engine: how it was asked for, its log, changed files.

Each within a size. Values of variables are left out: they are secrets, and the kernel's own copy is
kept with those hashed. A checkpoint is tried, and where the runtime makes none its reason is kept.
"""

import asyncio
import contextlib
import json
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from meshwarden.adapters.containers.codec import Container, parse_changes
from meshwarden.adapters.containers.engine import Engine, Query
from meshwarden.kernel import DependencyError, InputError

MAX_FILE_BYTES: Final = 64 * 1024**2
MAX_ALL_BYTES: Final = 256 * 1024**2
MAX_CHECKPOINT_BYTES: Final = 1024**3
MAX_FILES: Final = 200
LOG_LINES: Final = 10_000
CHECKPOINT_S: Final = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What was kept: small facts in memory, large ones on disk, by name."""

    facts: dict[str, bytes]
    files: dict[str, Path]


async def keep_evidence(engine: Engine, container: Container, folder: Path) -> Kept:
    """Return what the engine knows of `container`; files go to `folder`, which is emptied before.

    Raises:
        DependencyError: `containers.evidence` where the disk refuses.
    """
    kept = Kept(facts={"container.json": _described(container)}, files={})
    try:
        await asyncio.to_thread(_empty, folder)
        await _keep_log(engine, container, folder, kept)
        await _keep_changes(engine, container, folder, kept)
        await _keep_checkpoint(engine, container, folder, kept)
    except OSError as error:
        raise DependencyError("containers.evidence", f"{folder}: {error.strerror}") from error
    return kept


def _empty(folder: Path) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for old in folder.iterdir():
        old.unlink()


def _described(container: Container) -> bytes:
    config = dict(container.config)
    config["Env"] = [str(one).partition("=")[0] for one in config.get("Env") or []]
    known = {
        "id": container.id, "name": container.name, "image": container.image,
        "started": container.started, "networks": container.networks, "config": config,
        "host_config": container.host_config,
    }  # fmt: skip
    return json.dumps(known, indent=1).encode()


async def _keep_log(engine: Engine, container: Container, folder: Path, kept: Kept) -> None:
    path = f"/containers/{container.id}/logs"
    place = folder / "container.log"
    query = {"stdout": 1, "stderr": 1, "timestamps": 1, "tail": LOG_LINES}
    await _keep(engine, path, place, kept, query=query)


async def _keep_changes(engine: Engine, container: Container, folder: Path, kept: Kept) -> None:
    """Keep the list of changed paths, and each of those that is a file, as a tar of its own."""
    answer = await engine.ask("GET", f"/containers/{container.id}/changes")
    try:
        changed = parse_changes(answer.body) if answer.ok else []
    except InputError as error:
        kept.facts["changes-missing"] = str(error).encode()
        return
    kept.facts["changes.json"] = json.dumps(changed).encode()
    left = MAX_ALL_BYTES
    for number, path in enumerate(_leaves(changed)[:MAX_FILES]):
        place = folder / f"changed-{number}.tar"
        at = f"/containers/{container.id}/archive"
        most, query = min(left, MAX_FILE_BYTES), {"path": path}
        left -= await _keep(engine, at, place, kept, max_bytes=most, query=query)


def _leaves(changed: list[str]) -> list[str]:
    """Return paths of which no other is below them: archives of folders have all that is in them.

    >>> _leaves(["/tmp", "/tmp/a", "/tmp/b/c", "/tmp/b"])
    ['/tmp/a', '/tmp/b/c']
    """
    above = {str(parent) for path in changed for parent in Path(path).parents}
    return sorted(path for path in changed if path not in above)


async def _keep_checkpoint(engine: Engine, container: Container, folder: Path, kept: Kept) -> None:
    """Keep memory and state of all processes where the runtime can; else why it cannot."""
    path = f"/libpod/containers/{container.id}/checkpoint"
    place = folder / "checkpoint.tar"
    patient = replace(engine, timeout_s=CHECKPOINT_S)
    size = await _keep(
        patient, path, place, kept, max_bytes=MAX_CHECKPOINT_BYTES, method="POST",
        query={"export": "true", "leaveRunning": "true"},
    )  # fmt: skip
    if not size:
        kept.facts["checkpoint-missing"] = b"the runtime makes no checkpoint of this container"


async def _keep(
    engine: Engine,
    at: str,
    place: Path,
    kept: Kept,
    *,
    max_bytes: int = MAX_FILE_BYTES,
    method: str = "GET",
    query: Query | None = None,
) -> int:
    """Return how many octets were kept; 0 where there are none, or too many."""
    size = None
    descriptor = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with contextlib.suppress(DependencyError), os.fdopen(descriptor, "wb") as file:
        size = await engine.save(at, file, max_bytes=max_bytes, method=method, query=query)
    if size:
        kept.files[place.name] = place
        return size
    kept.facts[f"{place.name}-missing"] = f"{at} gave nothing that fits".encode()
    return 0
