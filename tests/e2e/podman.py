"""A Podman of the test's own: its storage, its networks and its service, gone with the test."""

import contextlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

SERVICES = Path(__file__).parent / "services"
PYTHON = os.path.realpath(sys.executable)
IMAGE = "localhost/meshwarden-test:1"
NETWORK = "mesh"
WITHIN_S = 60
NEEDS_PODMAN = pytest.mark.skipif(
    os.geteuid() != 0
    or not PYTHON.startswith("/usr/")
    or not all(map(shutil.which, ("podman", "runc", "unshare", "nft", "iptables"))),
    reason="containers need root, podman, runc, nft and iptables",
)


@dataclass(kw_only=True)
class Podman:
    """A running service: `socket` is its API, `namespace` its network (a descriptor)."""

    socket: Path
    namespace: int
    command: list[str]

    def run(self, *arguments: str, given: bytes | None = None) -> str:
        """Return what a podman command prints."""
        done = subprocess.run(
            [*self.command, *arguments], input=given, capture_output=True, timeout=WITHIN_S,
            check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr.decode()[-2000:]
        return done.stdout.decode().strip()

    def remove(self, *which: str) -> None:
        """Remove containers, running or not; one that just ends by itself fails, so try again."""
        deadline = time.monotonic() + WITHIN_S
        while True:
            try:
                self.run("rm", "--force", "--time", "0", *which)
                break
            except AssertionError:
                if time.monotonic() > deadline:
                    raise
            time.sleep(0.1)

    def start(
        self,
        name: str,
        *options: str,
        program: Path = SERVICES / "beats.py",
        network: str = NETWORK,
    ) -> str:
        """Start a service in a container called `name`; return its id."""
        options = ("--detach", "--network", network, "--restart", "always", *options)
        return self.run("run", *_container(name, program, options))

    def create(self, name: str, *options: str, program: Path) -> str:
        """Make a container called `name` that somebody else starts; return its id."""
        options = ("--network", NETWORK, *options)
        return self.run("create", *_container(name, program, options))

    def address(self, name: str) -> str:
        """Return the address of a container; "" where it has none."""
        [found] = json.loads(self.run("container", "inspect", name))
        networks = found["NetworkSettings"].get("Networks") or {}
        return next((str(one["IPAddress"]) for one in networks.values()), "")


def _container(name: str, program: Path, options: Sequence[str]) -> list[str]:
    return [
        "--name", name, "--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024",
        "--volume", "/usr:/usr:ro", "--volume", f"{SERVICES}:{SERVICES}:ro", "--user", "65534",
        *options, IMAGE, PYTHON, "-I", "-S", str(program),
    ]  # fmt: skip


@contextlib.contextmanager
def running_podman() -> Iterator[Podman]:
    """Run a Podman of our own while the context lasts, in a network namespace of its own."""
    with tempfile.TemporaryDirectory(prefix="mw-podman-") as folder:
        base, socket = Path(folder), Path(folder) / "api.sock"
        command = ["podman", *_options(base)]
        service = [*command, "system", "service", "--time", "0", f"unix://{socket}"]
        up = ["unshare", "-n", "sh", "-c", 'ip link set lo up; exec "$@"', "sh", *service]
        with (base / "service.log").open("w") as said:
            process = subprocess.Popen(up, stdout=said, stderr=said, start_new_session=True)
        try:
            _await(socket, process, base / "service.log")
            namespace = os.open(f"/proc/{process.pid}/ns/net", os.O_RDONLY)
            inside = ["nsenter", f"--net=/proc/{process.pid}/ns/net", *command]
            podman = Podman(socket=socket, namespace=namespace, command=inside)
            _look_for_limits(socket)
            podman.run("import", "-", IMAGE, given=_root())
            podman.run("network", "create", "--disable-dns", NETWORK)
            try:
                yield podman
            finally:
                podman.remove("--all")
                podman.run("network", "rm", "--force", NETWORK)
                os.close(namespace)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(WITHIN_S)
            _unmount(base)


def _options(base: Path) -> list[str]:
    places: Mapping[str, str] = {
        "root": "root", "runroot": "run", "tmpdir": "tmp", "network-config-dir": "networks",
    }  # fmt: skip
    where = [word for option, name in places.items() for word in (f"--{option}", str(base / name))]
    return [
        *where, "--storage-driver", "vfs", "--runtime", "runc", "--cgroup-manager", "cgroupfs",
        "--events-backend", "file",
    ]  # fmt: skip


def _root() -> bytes:
    """Return the tar of a root with nothing but places: programs are the machine's own."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, mode in (("usr", 0o755), ("tmp", 0o1777), ("etc", 0o755), ("proc", 0o755)):
            folder = tarfile.TarInfo(name)
            folder.type, folder.mode = tarfile.DIRTYPE, mode
            tar.addfile(folder)
        for name in ("bin", "sbin", "lib", "lib64"):
            link = tarfile.TarInfo(name)
            link.type, link.linkname = tarfile.SYMTYPE, f"usr/{name}"
            tar.addfile(link)
    return out.getvalue()


def _await(socket: Path, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + WITHIN_S
    while not socket.exists():
        assert process.poll() is None, log.read_text()[-2000:]
        assert time.monotonic() < end, "podman does not serve"
        time.sleep(0.05)


def _look_for_limits(socket: Path) -> None:
    """Have the service look which limits it can set, while nothing else goes on.

    It looks once, when it is first asked, at what is mounted for its first thread. Later that may
    be a thread that joined a container's mounts to read there, which has no control groups.
    """
    subprocess.run(
        ["curl", "-sSf", "-m", str(WITHIN_S), "-o", "/dev/null", "--unix-socket", socket,  # noqa: S607
         "http://d/info"],
        check=True,
    )  # fmt: skip


def _unmount(base: Path) -> None:
    """Unmount what Podman leaves mounted below `base`, deepest first."""
    lines = Path("/proc/self/mounts").read_text().splitlines()
    mounted = [line.split()[1] for line in lines if line.split()[1].startswith(f"{base}/")]
    for place in sorted(mounted, reverse=True):
        subprocess.run(["umount", "-l", place], check=False)  # noqa: S607
