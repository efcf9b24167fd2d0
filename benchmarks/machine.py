"""On what a figure was measured: processor, kernel, versions, and how busy the machine was."""

import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path

from meshwarden.adapters.envoy.bootstrap import find_envoy

BUSY_LOAD = 0.5
"""Load average above which a figure is not to be trusted; the benchmark itself is not yet in it."""


def describe_machine() -> dict[str, str]:
    """Return what to state beside a figure."""
    one_minute = Path("/proc/loadavg").read_text().split()[0]
    found = {
        "processor": f"{_processor()}, {len(os.sched_getaffinity(0))} cores",
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB",
        "kernel": platform.release(),
        "envoy": _envoy_version(),
        "python": platform.python_version(),
        "grpcio": metadata.version("grpcio"),
        "meshwarden": metadata.version("meshwarden"),
        "load average before": one_minute,
    }
    if float(one_minute) > BUSY_LOAD:
        found["warning"] = "the machine was busy before the benchmark started"
    return found


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _envoy_version() -> str:
    said = subprocess.run(
        [str(find_envoy()), "--version"], capture_output=True, text=True, check=True
    ).stdout
    return said.strip().rpartition("version: ")[2].split("/")[1]
