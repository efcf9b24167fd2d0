"""Lays out a mesh's network, hands its namespaces over, and ends: run as `python -I -S plumb.py`.

Standard library, `ip` and `nft` only. Input: JSON on stdin. Output: on the socket `--to` the
descriptors of the namespaces, in the order of the places, the fabric's last. No namespace gets a
name; each lasts as long as a descriptor or a process holds it, so nothing can be left behind.

1. A namespace for the fabric: a bridge without an address, without a way to anything else.
2. For each place a namespace: its link into the fabric, then its firewall, before anything runs.
"""

import argparse
import ctypes
import json
import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

CLONE_NEWNET = 0x40000000  # unshare(2)
OWN_NAMESPACE = "/proc/self/ns/net"


def main(arguments: Sequence[str]) -> int:
    """Build what stdin describes; print one line and return 1 where that fails."""
    parser = argparse.ArgumentParser(prog="plumb.py")
    parser.add_argument("--to", type=int, required=True, help="a Unix socket")
    options = parser.parse_args(arguments)
    plan = json.load(sys.stdin)
    try:
        with socket.socket(fileno=options.to) as answer:
            namespaces = _build(plan)
            for one in namespaces:  # one at a time: a message holds only so many
                socket.send_fds(answer, [b"+"], [one])
    except OSError as error:
        sys.stderr.write(f"{error.strerror or error}\n")
        return 1
    except subprocess.CalledProcessError as error:
        said = " ".join(error.stderr.split()) or f"exit code {error.returncode}"
        sys.stderr.write(f"{error.cmd[0]}: {said[:300]}\n")
        return 1
    return 0


def _build(plan: dict[str, Any]) -> list[int]:
    _unshare()
    fabric = os.open(OWN_NAMESPACE, os.O_RDONLY)
    bridge = "link add mesh type bridge\nlink set mesh addrgenmode none\nlink set mesh up\n"
    _run([plan["ip"], "-batch", "-"], bridge)
    # The far end of each link is named by a process in the fabric: this one leaves it below.
    with subprocess.Popen(["/bin/cat"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as anchor:
        places = []
        for place in plan["places"]:
            _unshare()
            places.append(os.open(OWN_NAMESPACE, os.O_RDONLY))
            _write_setting("net/ipv6/conf/all/disable_ipv6", "1")
            _run([plan["nft"], "-f", "-"], place["firewall"])
            links = place["links"].replace("FABRIC", str(anchor.pid))
            _run([plan["ip"], "-batch", "-"], links)
        _enter(fabric)
        joined = [
            f"link set {place['peer']} addrgenmode none\nlink set {place['peer']} master mesh up\n"
            for place in plan["places"]
        ]
        _run([plan["ip"], "-batch", "-"], "".join(joined))
        anchor.kill()
    return [*places, fabric]


def _run(command: list[str], text: str) -> None:
    subprocess.run(command, input=text, text=True, capture_output=True, check=True, timeout=20)


def _write_setting(name: str, value: str) -> None:
    try:
        with open(f"/proc/sys/{name}", "w", encoding="ascii") as setting:  # noqa: PTH123
            setting.write(value)
    except OSError:
        return  # a kernel without IPv6; a read-only /proc/sys, where the firewall drops it


def _unshare() -> None:
    _check(ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET))


def _enter(namespace: int) -> None:
    _check(ctypes.CDLL(None, use_errno=True).setns(namespace, CLONE_NEWNET))


def _check(result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
