"""A recorder in a process of its own, to be killed: `recorder_process.py FOLDER`."""

import asyncio
import sys
from pathlib import Path

from meshwarden.adapters.clock import SystemClock
from meshwarden.adapters.envoy.accesslog_reopen import reopen_logs
from meshwarden.control.recording import Limits, LogSource, Recorder

OWNERS = {
    "gateway": "spiffe://bank.example/ns/edge/sa/gateway",
    "ledger": "spiffe://bank.example/ns/core/sa/ledger",
}


async def main(folder: Path) -> None:
    limits = Limits(part_rows=300, part_age_s=0.05, log_bytes=100_000, chunk_bytes=16_384)
    recorder = Recorder(folder=folder / "calls", clock=SystemClock(), limits=limits)
    for name, owner in OWNERS.items():
        admin = folder / name / "admin.sock"
        recorder.follow(
            LogSource(
                name=name,
                owner=owner,
                path=folder / name / "access.log",
                reopen=lambda admin=admin: reopen_logs(admin),  # type: ignore[misc]
            )
        )
    await recorder.run()


asyncio.run(main(Path(sys.argv[1])))
