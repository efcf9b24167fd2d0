"""Who writes parts gives way to who reads logs and scores calls."""

import os
from pathlib import Path

from meshwarden.adapters.storage.parts import PartWriter
from meshwarden.adapters.storage.rejected import RejectedLines
from meshwarden.control.recording.storing import Storing


def test_the_writing_thread_alone_gives_way(tmp_path: Path) -> None:
    writer = PartWriter(tmp_path / "calls", max_bytes=10**9)
    before = os.getpriority(os.PRIO_PROCESS, 0)
    storing = Storing(writer, RejectedLines(tmp_path / "rejected.jsonl", max_bytes=1000))
    inside = storing._thread.submit(os.getpriority, os.PRIO_PROCESS, 0).result()
    storing.close()
    assert inside == min(before + 10, 19)
    assert os.getpriority(os.PRIO_PROCESS, 0) == before
