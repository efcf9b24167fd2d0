"""Processes of a benchmark: started on one core, waited for, measured, and gone afterwards."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from meshwarden.kernel import DependencyError

START_TIMEOUT_S: Final = 60
STOP_TIMEOUT_S: Final = 10


@contextmanager
def running(
    command: list[str], *, core: int, log: Path, directory: Path | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run `command` on one core, its output in `log`; its whole process group ends with it."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            cwd=directory,
        )
    try:
        os.sched_setaffinity(process.pid, {core})
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def wait_for(
    condition: Callable[[], bool],
    process: subprocess.Popen[bytes],
    *,
    what: str,
    log: Path,
    patience_s: float = START_TIMEOUT_S,
) -> None:
    """Return once `condition` holds; DependencyError `benchmark.start` where it never does."""
    deadline = time.monotonic() + patience_s
    while not condition():
        if process.poll() is not None or time.monotonic() > deadline:
            said = log.read_text(errors="replace").strip().splitlines() if log.exists() else []
            raise DependencyError(
                "benchmark.start", f"{what} did not start: {' '.join(said[-2:])[-400:]}"
            )
        time.sleep(0.05)


def machine_seconds() -> float:
    """Return the processor time that all processes and the kernel have used since the start."""
    fields = [int(one) for one in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    idle = fields[3] + fields[4]
    return (sum(fields) - idle) / os.sysconf("SC_CLK_TCK")


def resident_mib(pid: int) -> float:
    """Return the resident memory of `pid` and of the processes below it, in MiB."""
    own = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    below = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return own / (1 << 20) + sum(resident_mib(int(child)) for child in below)


def processor_seconds(pid: int) -> float:
    """Return the processor time of all threads of `pid` so far.

    `schedstat` counts nanoseconds on the processor; `stat` counts ticks of 10 ms and stands in
    where a kernel lacks the first.
    """
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9
    except FileNotFoundError:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
