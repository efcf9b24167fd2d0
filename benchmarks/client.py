"""The callers of a benchmark: their certificates, their load, and single requests to check answers.

The load itself runs in a process of its own (`benchmarks.load`).
"""

import json
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from cryptography import x509

from benchmarks.load import Job, Outcome, client_context, render_request
from meshwarden.identity import Authority, issue_svid
from meshwarden.kernel import DependencyError, SpiffeId

REPOSITORY: Final = Path(__file__).parent.parent
ONE_REQUEST_S: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Callers:
    """Certificates of all callers: the file of each, and the root they trust."""

    files: Mapping[str, Path]
    bundle: str


def issue_callers(
    authority: Authority, identities: Sequence[SpiffeId], directory: Path, *, now: datetime
) -> Callers:
    """Write a key and a certificate for each identity to a file below `directory`."""
    files = {}
    for index, identity in enumerate(identities):
        svid = issue_svid(authority, identity, now=now, serial=x509.random_serial_number())
        path = directory / f"caller-{index}.pem"
        path.write_text(svid.private_key.reveal() + svid.certificate_chain)
        files[str(identity)] = path
    return Callers(files=files, bundle=authority.bundle.pem)


def run_load(job: Job) -> Outcome:
    """Return what came of the job; DependencyError `benchmark.load` where it failed."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.load"],
        cwd=REPOSITORY,
        input=json.dumps(asdict(job)),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        said = done.stderr.strip().splitlines()[-1:] or [f"exit code {done.returncode}"]
        raise DependencyError("benchmark.load", f"the load generator stopped: {said[0]}")
    return Outcome(**json.loads(done.stdout))


def status_of(port: int, callers: Callers, caller: str, request: str, token: str = "") -> int:
    """Return the status that one request gets."""
    context = client_context(str(callers.files[caller]), callers.bundle)
    with (
        socket.create_connection(("127.0.0.1", port), ONE_REQUEST_S) as raw,
        context.wrap_socket(raw) as connection,
    ):
        connection.sendall(render_request(request, token))
        answer = connection.recv(16384)
    return int(answer.split(b" ", 2)[1])
