"""The recorder's loop: it may be cancelled at any moment without a call lost or doubled."""

import asyncio
import threading
from pathlib import Path

from tests.unit.recording.access_log_lines import LEDGER, SteppingClock, inbound

from meshwarden.adapters.envoy.accesslog_call import Naming
from meshwarden.adapters.storage.calls import load_calls
from meshwarden.control.recording import LogSource, Recorder


async def test_a_cycle_that_is_cancelled_ends_before_the_next_begins(tmp_path: Path) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def _slow(destination: str, rule: str | None, path: str) -> str:  # noqa: ARG001
        begun.set()
        go_on.wait(timeout=30)
        return path

    log = tmp_path / "ledger.log"
    log.write_bytes(b"".join(inbound(number, str(number)) for number in range(1, 6)))
    recorder = Recorder(
        folder=tmp_path / "calls", clock=SteppingClock(), naming=Naming(route=_slow)
    )
    recorder.follow(LogSource(name="ledger", owner=LEDGER, path=log))
    running = asyncio.create_task(recorder.run())
    await asyncio.to_thread(begun.wait)
    running.cancel()
    closing = asyncio.create_task(recorder.close())
    done, _ = await asyncio.wait({closing}, timeout=0.2)
    assert not done
    go_on.set()
    await closing
    times = load_calls([tmp_path / "calls"]).table["time"].cast("int64").to_pylist()
    assert sorted(times) == [1, 2, 3, 4, 5]
