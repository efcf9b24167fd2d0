"""A mesh's network while it runs: held open by descriptors, entered for the length of one call.

The namespaces live as long as this process holds them or one of the mesh's processes is in one.
"""

import contextlib
import ctypes
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from meshwarden.adapters.network import plumb
from meshwarden.adapters.network.rules import Place, render_firewall, render_links
from meshwarden.kernel import DependencyError

_TIMEOUT_S: Final = 60.0
SYSTEM_PATHS: Final = "/usr/sbin:/sbin:/usr/bin:/bin"
_TRIAL: Final = Place(
    name="trial", address="10.213.0.10", sidecar_uid=61184, inbound=("1",), http_port=2,
    other_port=3,
)  # fmt: skip


def why_unavailable() -> str | None:
    """Return why services cannot have networks of their own here; None where they can."""
    if os.geteuid() != 0:
        return "not started as root"
    for tool, package in (("ip", "iproute2"), ("nft", "nftables")):
        if shutil.which(tool, path=SYSTEM_PATHS) is None:
            return f"no {tool} on this machine; install {package}"
    try:
        Network([_TRIAL]).close()
    except DependencyError as error:
        return error.message
    return None


class Network:
    """The namespaces of one mesh.

    Args:
        places: one for each service.

    Raises:
        DependencyError: `network.refused` where the kernel, `ip` or `nft` refuse.
    """

    def __init__(self, places: Sequence[Place]) -> None:
        self._held: list[int] = []
        ours, theirs = socket.socketpair()
        with ours, theirs:
            # Each place's descriptor waits in the socket, one octet with it; then the fabric's.
            done = subprocess.run(
                [sys.executable, "-I", "-S", plumb.__file__, f"--to={theirs.fileno()}"],
                input=json.dumps(_plan(places)),
                pass_fds=[theirs.fileno()],
                env={},
                cwd="/",
                capture_output=True,
                text=True,
                timeout=_TIMEOUT_S,
                check=False,
            )
            theirs.close()
            while (received := socket.recv_fds(ours, 1, 1))[0]:
                self._held += received[1]
        if done.returncode != 0 or len(self._held) != len(places) + 1:
            self.close()
            raise DependencyError(
                "network.refused",
                f"cannot lay out a network: {done.stderr.strip()[-300:] or done.returncode}",
            )
        self.namespaces: Mapping[str, int] = {
            place.name: descriptor for place, descriptor in zip(places, self._held, strict=False)
        }

    def socket(self, name: str, *, uid: int | None = None) -> socket.socket:
        """Return a TCP socket in the namespace of the service `name`, as if opened by user `uid`.

        The firewall asks whose a socket is; an attacker's is tried from where he would stand.
        """
        return socket_in(self.namespaces[name], uid=uid)

    def close(self) -> None:
        """Let go of the namespaces; those that hold no process are gone at once."""
        while self._held:
            os.close(self._held.pop())


def socket_in(namespace: int, *, uid: int | None = None) -> socket.socket:
    """Return a TCP socket of the network namespace `namespace`."""
    with entered(namespace), _file_user(uid):
        return socket.socket(socket.AF_INET, socket.SOCK_STREAM)


def _plan(places: Sequence[Place]) -> dict[str, object]:
    return {
        "ip": shutil.which("ip", path=SYSTEM_PATHS),
        "nft": shutil.which("nft", path=SYSTEM_PATHS),
        "places": [
            {
                "peer": f"v{index}",
                "firewall": render_firewall(place),
                "links": render_links(place, peer=f"v{index}", fabric="FABRIC"),
            }
            for index, place in enumerate(places)
        ],
    }


@contextlib.contextmanager
def entered(namespace: int) -> Iterator[None]:
    """Have this thread in `namespace`; nothing may be awaited meanwhile."""
    own = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        _setns(namespace)
        try:
            yield
        finally:
            _setns(own)
    finally:
        os.close(own)


@contextlib.contextmanager
def _file_user(uid: int | None) -> Iterator[None]:
    if uid is None:
        yield
        return
    libc = ctypes.CDLL(None)
    libc.setfsuid(uid)
    try:
        yield
    finally:
        libc.setfsuid(os.geteuid())


def _setns(namespace: int) -> None:
    if ctypes.CDLL(None, use_errno=True).setns(namespace, plumb.CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise DependencyError("network.namespace", f"cannot enter it: {os.strerror(number)}")
