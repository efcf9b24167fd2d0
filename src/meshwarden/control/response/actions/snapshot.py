"""Freezes the suspect and keeps what it is: one signed archive, the most valuable first.

Inverse: thaws it. Order of what is kept, so that a size limit drops the least valuable: the
incident's record, versions of policy and certificates, calls, what the kernel knows of each process
(tree, command lines, environment with secrets hashed, open files, sockets, maps), files changed
since its start with their hashes, logs, memory.
"""

import asyncio
import json
import secrets
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import ClassVar, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from meshwarden.adapters.forensics import (
    ArchiveWriter,
    ProcessSet,
    Selection,
    changed_files,
    dump_memory,
    facts_of,
    verify_archive,
)
from meshwarden.adapters.forensics.files import Changed
from meshwarden.adapters.storage.calls import load_calls
from meshwarden.adapters.storage.evidence_key import load_or_create_key
from meshwarden.control.response.action import Applied
from meshwarden.control.response.actions.scene import Scene
from meshwarden.kernel import DependencyError
from meshwarden.response import Entry, Incident, SnapshotSources
from meshwarden.response.evidence import public_key_of

MAX_BYTES: Final = 1 << 30
CALLS_S: Final = 600
"""How far back before the first sign calls are kept, in seconds."""


@dataclass(kw_only=True)
class Snapshot:
    """The action `snapshot`.

    Attributes:
        scene: where it happens.
        record: returns the incident's record so far.
        max_bytes: octets that one archive may hold.
    """

    name: ClassVar[str] = "snapshot"
    scene: Scene
    record: Callable[[str], Iterable[Entry]]
    max_bytes: int = MAX_BYTES
    _writing: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def check(self, incident: Incident) -> str | None:
        """Return why it cannot work; None where it can."""
        return self.scene.why_unknown(incident)

    async def apply(self, incident: Incident) -> Applied:
        """Freeze it, and write the archive; it stays frozen."""
        driver, instance = self.scene.driver, await self.scene.instance(incident)
        frozen = await driver.freeze(instance)
        sources = await driver.snapshot_sources(instance)
        await self.scene.plane.recorder.flush()
        async with self._writing:  # memory is large: one at a time
            kept = await asyncio.to_thread(self._write, incident, sources)
        return Applied(outcome=f"{frozen} processes frozen; {kept['size']} octets kept", undo=kept)

    async def probe(self, incident: Incident) -> str:
        """Verify the archive against its key, and against the digest that is on record."""
        number = incident.step_number(self.name)
        kept = {} if number is None else incident.steps[number].undo
        if "archive" not in kept:
            raise DependencyError("evidence.missing", "no archive is on record")
        manifest = await asyncio.to_thread(
            verify_archive, Path(kept["archive"]), key=kept["key"], digest=kept["digest"]
        )
        dropped = f", {len(manifest.dropped)} dropped" if manifest.dropped else ""
        return f"{len(manifest.kept)} files verify{dropped}"

    async def undo(self, incident: Incident, undo: Mapping[str, str]) -> str:
        """Let it run on; where it was replaced meanwhile there is nothing to thaw."""
        del undo
        driver, instance = self.scene.driver, await self.scene.instance(incident)
        if await driver.running(instance.service) != instance:
            return "it was replaced"
        await driver.thaw(instance)
        return "it runs on"

    def _write(self, incident: Incident, sources: SnapshotSources) -> dict[str, str]:
        folder, salt = self.scene.evidence, secrets.token_bytes(16)
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise DependencyError("evidence.write", f"{folder}: {error.strerror}") from error
        key = load_or_create_key(folder / "key.pem")
        path = folder / f"{incident.id}.tar"
        with ArchiveWriter(path, max_bytes=self.max_bytes) as archive:
            for name, content in self._texts(incident):
                archive.add(name, content)
            self._add_instance(archive, sources, salt)
            digest = archive.finish(
                incident=incident.id,
                suspect=incident.suspect.identity,
                taken=self._now(),
                salt=salt,
                key=key,
            )
        size = str(path.stat().st_size)
        return {"archive": str(path), "digest": digest, "key": public_key_of(key), "size": size}

    def _texts(self, incident: Incident) -> Iterable[tuple[str, bytes]]:
        plane = self.scene.plane
        entries = [asdict(one) for one in self.record(incident.id)]
        yield "record.json", json.dumps(entries, indent=1).encode()
        yield "access-policy.yaml", plane.published.raw
        yield "versions.json", json.dumps(self._versions(incident), indent=1).encode()
        yield "calls.parquet", self._calls(incident)

    def _versions(self, incident: Incident) -> dict[str, object]:
        plane = self.scene.plane
        live = plane.identities.register.live(now=plane.clock.now())
        mine = [one for one in live if one.identity == incident.suspect.identity]
        return {
            "policy_sha256": plane.published.digest,
            "certificates": [{"sha256": one.sha256, "issuer": one.issuer} for one in mine],
            "sidecar": [
                {"type": one.type_url, "name": one.name, "version": one.version}
                for one in plane.enforcer.server.answers(incident.suspect.service)
            ],
        }

    def _calls(self, incident: Incident) -> bytes:
        calls = load_calls([self.scene.plane.layout.calls_dir]).table
        since = (incident.first_call or incident.opened) - CALLS_S * 10**9
        recent = pc.greater_equal(calls["time"].cast(pa.int64()), since)
        either = pc.or_kleene(
            pc.equal(calls["source"].cast(pa.string()), incident.suspect.identity),
            pc.equal(calls["destination"].cast(pa.string()), incident.suspect.identity),
        )
        out = pa.BufferOutputStream()
        pq.write_table(calls.filter(pc.and_kleene(recent, either)), out)
        return bytes(out.getvalue())

    def _add_instance(self, archive: ArchiveWriter, sources: SnapshotSources, salt: bytes) -> None:
        for name, content in sources.facts.items():
            archive.add(f"driver/{name}", content)
        if sources.leader is None:
            archive.drop("processes", "none of its processes can be seen")
        members = _members(sources)
        for pid in members:
            for name, content in facts_of(pid, salt=salt):
                archive.add(f"processes/{name}", content)
        for changed in _changed(sources):
            archive.add_file(f"files{changed.path}", changed.reached)
        for name, path in sources.files.items():
            archive.add_file(f"logs/{name}", path)
        for pid in members:
            self._add_memory(archive, pid)

    def _add_memory(self, archive: ArchiveWriter, pid: int) -> None:
        name = f"memory/core.{pid}"
        with tempfile.TemporaryDirectory(dir=self.scene.evidence) as folder:
            try:
                core = dump_memory(pid, Path(folder), max_bytes=archive.left)
            except DependencyError as error:
                archive.drop(name, error.message)
                return
            archive.add_file(name, core)

    def _now(self) -> int:
        return int(self.scene.plane.clock.now().timestamp() * 1e9)


def _members(sources: SnapshotSources) -> list[int]:
    if sources.leader is None:
        return []
    chosen = ProcessSet(
        Selection(leader=sources.leader, uid=sources.uid, control_group=sources.control_group)
    )
    return [one.pid for one in chosen.members()]


def _changed(sources: SnapshotSources) -> Iterable[Changed]:
    if sources.leader is None:
        return ()
    return changed_files(sources.leader, sources.directories, since=sources.started)
