"""End-to-end tests side by side: each worker in a network, and a view of mounts, of its own.

With `-n auto`, as `make test` runs them, there are as many workers as can be had: where nobody may
make networks, one. Tests marked `alone` measure what load takes from a real bank: they have the
machine to themselves, in a run of their own.
"""

import ctypes
import os
import subprocess

import pytest

from meshwarden.adapters.network import why_unavailable

MOST_WORKERS = 4
CLONE_NEWNS, CLONE_NEWNET = 0x00020000, 0x40000000  # unshare(2)
OF_ITS_OWN = "mount --make-rprivate / && ip link set lo up"


def pytest_xdist_auto_num_workers() -> int:
    return min(os.cpu_count() or 1, MOST_WORKERS) if why_unavailable() is None else 1


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Move a worker into its own network, before it starts any thread or process."""
    if hasattr(config, "workerinput") and why_unavailable() is None:
        if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNS | CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "unshare")
        subprocess.run(["sh", "-c", OF_ITS_OWN], check=True)  # noqa: S607
