"""How long evidence of a process with much memory takes: from stopping it to verifying it."""

import secrets
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from meshwarden.adapters.forensics import (
    ArchiveWriter,
    ProcessSet,
    Selection,
    dump_memory,
    facts_of,
    verify_archive,
)
from meshwarden.adapters.forensics.memory import resident_bytes

_HOLD = "import os, sys; kept = os.urandom({size}); print('ready', flush=True); sys.stdin.read()"


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """One archive: octets resident, octets kept, seconds until it was complete and verified."""

    resident: int
    kept: int
    seconds: float


def measure_evidence(size: int) -> Evidence:
    """Return what an archive of a process that holds `size` octets took."""
    command = [sys.executable, "-c", _HOLD.format(size=size)]
    with (
        tempfile.TemporaryDirectory() as folder,
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as held,
    ):
        assert held.stdout
        held.stdout.readline()
        resident = resident_bytes(held.pid)
        begin = time.perf_counter()
        path = _archive(held.pid, Path(folder))
        verify_archive(path)
        seconds = time.perf_counter() - begin
        held.kill()
        return Evidence(resident=resident, kept=path.stat().st_size, seconds=seconds)


def _archive(pid: int, folder: Path) -> Path:
    chosen, salt = ProcessSet(Selection(leader=pid)), secrets.token_bytes(16)
    chosen.stop()
    path = folder / "evidence.tar"
    with ArchiveWriter(path, max_bytes=1 << 30) as archive:
        for name, content in facts_of(pid, salt=salt):
            archive.add(f"processes/{name}", content)
        archive.add_file("memory", dump_memory(pid, folder, max_bytes=archive.left))
        archive.finish(
            incident="benchmark", suspect="-", taken=time.time_ns(), salt=salt,
            key=Ed25519PrivateKey.generate(),
        )  # fmt: skip
    return path
