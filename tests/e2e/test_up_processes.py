"""Supervision with real processes and sockets; stand-ins take the place of Envoy and control plane."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from meshwarden.adapters.process import open_to_others
from meshwarden.cli.up import run_mesh
from meshwarden.control.layout import CONTROL_PLANE, layout_of, service_environment
from meshwarden.control.mesh import Mesh, MeshService
from meshwarden.control.supervision import (
    Event,
    EventKind,
    RestartPolicy,
    Supervisor,
    Wiring,
)
from meshwarden.kernel import ConfigError, DependencyError

pytestmark = pytest.mark.e2e

PYTHON = (sys.executable, "-I", "-S", "-c")
WITHIN_S = 30

LISTEN_ALL = """
import signal, socket, sys
held = []
for path in sys.argv[2:]:
    with __import__("contextlib").suppress(FileNotFoundError): __import__("os").unlink(path)
    s = socket.socket(socket.AF_UNIX); s.bind(path); s.listen(); held.append(s)
signal.sigwait([signal.SIGTERM])
"""

SERVE = """
import os, socket, sys
path = os.environ.get("MESHWARDEN_SOCKET")
if path:
    s = socket.socket(socket.AF_UNIX); s.bind(path)
else:
    s = socket.create_server(("127.0.0.1", int(os.environ["PORT"])))
s.listen()
print("serving", os.getpid(), flush=True)
while True:
    c, _ = s.accept()
    if c.recv(4096):
        c.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 0\\r\\n\\r\\n")
    c.close()
"""

WAIT = "import signal; signal.sigwait([signal.SIGTERM])"
CHILD = f"print('child up', flush=True); {WAIT}"
FAST = RestartPolicy(first_s=0.01, factor=2, cap_s=0.1)


class Recorder:
    """Events and lines of one supervisor, and a way to wait for them."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.lines: list[tuple[str, str]] = []
        self._changed = asyncio.Event()

    def on_event(self, event: Event) -> None:
        self.events.append(event)
        self._changed.set()

    def on_line(self, name: str, line: str) -> None:
        self.lines.append((name, line))
        self._changed.set()

    def of(self, kind: EventKind, name: str) -> list[Event]:
        return [event for event in self.events if (event.kind, event.name) == (kind, name)]

    def index(self, kind: EventKind, name: str) -> int:
        return self.events.index(self.of(kind, name)[0])

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(WITHIN_S):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    async def until_count(self, kind: EventKind, name: str, count: int = 1) -> None:
        await self.until(lambda: len(self.of(kind, name)) >= count)


class World:
    """A directory in which meshes run; every process of theirs has it in its arguments."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.state = directory / "s"
        self.recorder = Recorder()

    def service(self, name: str, script: str = SERVE, *, listens: bool = True) -> MeshService:
        return MeshService(
            name=name,
            command=(*PYTHON, script, str(self.directory)),
            socket=listens,
            directory=self.directory,
            start_timeout_s=WITHIN_S,
        )

    def mesh(self, *services: MeshService) -> Mesh:
        return Mesh(
            policy_path=self.directory / "access.yaml",
            services={service.name: service for service in services},
            directory=self.directory,
        )

    def wiring(self, mesh: Mesh) -> Wiring:
        layout = layout_of(mesh, self.state)

        async def _ready(_: MeshService) -> bool:
            return True

        sockets = [str(layout.xds_socket(name)) for name in mesh.services]
        return Wiring(
            control_plane=[*PYTHON, LISTEN_ALL, str(self.directory), *sockets],
            sidecar=lambda _: [*PYTHON, WAIT, str(self.directory)],
            sidecar_ready=_ready,
            environment=lambda service: service_environment(mesh, layout, service.name),
        )

    def supervisor(self, *services: MeshService, grace_s: float = 10) -> Supervisor:
        mesh = self.mesh(*services)
        return Supervisor(
            mesh,
            layout_of(mesh, self.state),
            self.wiring(mesh),
            environment={"PATH": os.defpath},
            on_line=self.recorder.on_line,
            on_event=self.recorder.on_event,
            restarts=FAST,
            grace_s=grace_s,
        )

    def processes(self) -> set[int]:
        """Return the processes that have the directory in their arguments, this one aside."""
        found = set()
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and int(entry.name) != os.getpid():
                with contextlib.suppress(OSError):
                    if bytes(self.directory) in (entry / "cmdline").read_bytes():
                        found.add(int(entry.name))
        return found

    def assert_nothing_left(self) -> None:
        assert self.processes() == set()
        assert not (self.state / "run").exists()
        assert not (self.state / "up.json").exists()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    left = made.processes()
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert not left


def child_of(world: World) -> list[str]:
    return [*PYTHON, CHILD, str(world.directory)]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


async def test_control_plane_then_sidecar_then_service_then_dependents(world: World) -> None:
    ledger = replace(world.service("ledger"), health="/healthz")
    payments = replace(world.service("payments"), after=("ledger",))
    async with world.supervisor(payments, ledger) as supervisor:
        assert set(supervisor.pids) == {
            CONTROL_PLANE, "ledger", "ledger.sidecar", "payments", "payments.sidecar",
        }  # fmt: skip
        recorded = json.loads((world.state / "up.json").read_text())
        assert recorded["supervisor"] == os.getpid()
    at = world.recorder.index
    healthy, started, stopped = EventKind.HEALTHY, EventKind.STARTED, EventKind.STOPPED
    assert at(healthy, CONTROL_PLANE) < at(started, "ledger.sidecar")
    assert at(healthy, "ledger.sidecar") < at(started, "ledger") < at(healthy, "ledger")
    assert at(healthy, "ledger") < at(started, "payments")
    assert at(stopped, "payments") < at(stopped, "ledger") < at(stopped, "ledger.sidecar")
    assert at(stopped, "ledger.sidecar") < at(stopped, CONTROL_PLANE)
    world.assert_nothing_left()
    assert (world.state / "logs" / "ledger.log").read_text().startswith("serving ")
    assert stat.S_IMODE(world.state.stat().st_mode) == 0o700


async def test_a_service_that_is_slow_holds_up_only_those_that_come_after_it(world: World) -> None:
    sign = world.directory / "sign"
    os.mkfifo(sign)
    slow = world.service("slow", f"open({str(sign)!r}).read()\n{SERVE}")
    async with asyncio.timeout(WITHIN_S):
        supervisor = world.supervisor(slow, world.service("quick"))
        starting = asyncio.create_task(supervisor.start())
        await world.recorder.until_count(EventKind.HEALTHY, "quick")
        assert not world.recorder.of(EventKind.HEALTHY, "slow")
        await asyncio.to_thread(sign.write_text, "go")
        await starting
        await supervisor.stop()


async def test_service_is_healthy_when_its_path_answers_2xx(world: World) -> None:
    script = (
        SERVE.replace("200 OK", "%d X")
        .replace(
            "c.sendall(b", "n = globals().get('n', 0) + 1; c.sendall((503 if n < 3 else 200) and b"
        )
        .replace('\\r\\n\\r\\n")', '\\r\\n\\r\\n" % (503 if n < 3 else 204))')
    )
    service = replace(world.service("ledger", script), socket=False, port=free_port(), health="/h")
    async with world.supervisor(service):
        assert world.recorder.of(EventKind.HEALTHY, "ledger")


async def test_killed_service_sidecar_and_control_plane_come_back_alone(world: World) -> None:
    async with world.supervisor(world.service("ledger")) as supervisor:
        for name in ("ledger", "ledger.sidecar", CONTROL_PLANE):
            before = dict(supervisor.pids)
            os.kill(before[name], signal.SIGKILL)
            await world.recorder.until_count(EventKind.HEALTHY, name, 2)
            (ended,) = world.recorder.of(EventKind.EXITED, name)
            assert ended.detail == "killed by SIGKILL"
            after = dict(supervisor.pids)
            assert after.pop(name) != before.pop(name)
            assert after == before


async def test_service_that_keeps_ending_waits_longer_each_time(world: World) -> None:
    script = "import signal; print('started', flush=True); signal.sigtimedwait([15], 0.001)"
    async with world.supervisor(world.service("worker", script, listens=False)):
        await world.recorder.until_count(EventKind.RESTARTING, "worker", 6)
    delays = [event.after_s for event in world.recorder.of(EventKind.RESTARTING, "worker")]
    assert delays[:6] == [0.01, 0.02, 0.04, 0.08, 0.1, 0.1]


async def test_service_that_never_gets_healthy_is_named_with_what_it_said(world: World) -> None:
    script = "print('no database'); print('bye')"
    bad = replace(world.service("ledger", script), start_timeout_s=0.5)
    with pytest.raises(DependencyError, match=r"^ledger was not healthy.*no database / bye"):
        await world.supervisor(world.service("payments"), bad).start()
    assert world.recorder.of(EventKind.GAVE_UP, "ledger")
    world.assert_nothing_left()


async def test_stop_while_starting_leaves_nothing(world: World) -> None:
    supervisor = world.supervisor(world.service("ledger", WAIT))
    starting = asyncio.create_task(supervisor.start())
    await world.recorder.until_count(EventKind.STARTED, "ledger")
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    world.assert_nothing_left()


@pytest.mark.parametrize(
    ("change", "code", "says"),
    [
        ({"command": ("no-such-program",)}, "process.command", "'no-such-program' is not found"),
        ({"command": ("./plain",)}, "process.command", "not executable"),
        ({"directory": Path("/nowhere")}, "process.directory", "/nowhere does not exist"),
        ({"user": "no-such-user"}, "process.user", "no-such-user"),
    ],
)
async def test_what_cannot_be_started_is_said_before_anything_is(
    world: World, change: dict[str, Any], code: str, says: str
) -> None:
    (world.directory / "plain").write_text("#!/bin/sh\n")
    bad = replace(world.service("ledger"), **change)
    with pytest.raises(ConfigError, match=r"^ledger") as caught:
        await world.supervisor(bad).start()
    assert caught.value.code == code
    assert says in str(caught.value)
    assert world.recorder.events == []
    assert not world.state.exists()


async def test_script_without_its_interpreter_is_refused(world: World) -> None:
    script = world.directory / "script"
    script.write_text("#!/no/such/interpreter\n")
    script.chmod(0o755)
    with pytest.raises(ConfigError, match=r"ledger: its command './script'.*interpreter"):
        await world.supervisor(replace(world.service("ledger"), command=("./script",))).start()
    world.assert_nothing_left()


@pytest.mark.parametrize("key", ["port", "edge"])
async def test_port_in_use_is_named_with_who_wants_it(world: World, key: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        wanted = replace(world.service("ledger"), socket=key == "edge", **{key: port})
        with pytest.raises(ConfigError, match=rf"127.0.0.1:{port}, asked for by services.ledger"):
            await world.supervisor(wanted).start()
    assert not world.state.exists()


async def test_one_state_directory_has_one_supervisor(world: World) -> None:
    async with world.supervisor(world.service("ledger")) as first:
        with pytest.raises(ConfigError, match=rf"process {os.getpid()}.*--state") as caught:
            await world.supervisor(world.service("ledger")).start()
        assert caught.value.code == "state.in_use"
        assert set(first.pids) == {CONTROL_PLANE, "ledger", "ledger.sidecar"}
        assert (world.state / "run").exists()


async def test_state_directory_that_cannot_be_used_is_refused(world: World) -> None:
    (world.directory / "file").write_text("")
    world.state = world.directory / "file" / "s"
    with pytest.raises(ConfigError, match="Not a directory"):
        await world.supervisor(world.service("ledger")).start()


async def test_state_directory_without_permission_is_refused(world: World) -> None:
    world.state.mkdir()
    if os.geteuid() == 0:
        os.chown(world.state, 65534, 65534)
    else:
        world.state.chmod(0o500)
    with pytest.raises(ConfigError) as caught:
        await world.supervisor(world.service("ledger")).start()
    assert caught.value.code == "state.unusable"


async def test_service_that_ignores_sigterm_is_killed_after_the_grace(world: World) -> None:
    stubborn = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n{SERVE}"
    supervisor = world.supervisor(world.service("ledger", stubborn), grace_s=0.2)
    async with supervisor:
        await world.recorder.until(lambda: bool(world.recorder.lines))
    (stopped,) = world.recorder.of(EventKind.STOPPED, "ledger")
    assert stopped.detail == "killed by SIGKILL"
    world.assert_nothing_left()


async def test_service_that_is_frozen_is_killed_without_any_grace(world: World) -> None:
    async with world.supervisor(world.service("ledger"), grace_s=3600) as supervisor:
        os.kill(supervisor.pids["ledger"], signal.SIGSTOP)
        os.waitid(os.P_PID, supervisor.pids["ledger"], os.WSTOPPED | os.WNOWAIT)  # noqa: ASYNC222  # at once
    [stopped] = world.recorder.of(EventKind.STOPPED, "ledger")
    assert stopped.detail == "killed by SIGKILL"
    world.assert_nothing_left()


async def test_descendants_of_a_service_end_with_it(world: World) -> None:
    script = f"import subprocess; subprocess.Popen({child_of(world)!r})\n{WAIT}"
    up = ("worker", "child up")
    async with world.supervisor(world.service("worker", script, listens=False)) as supervisor:
        await world.recorder.until(lambda: up in world.recorder.lines)
        os.kill(supervisor.pids["worker"], signal.SIGKILL)
        await world.recorder.until(lambda: world.recorder.lines.count(up) == 2)
        assert len(world.processes()) == 4  # control plane, sidecar, worker, and its one child
    world.assert_nothing_left()


async def test_output_of_any_size_and_bytes_is_forwarded_line_by_line(world: World) -> None:
    script = (
        "import os; w = lambda b: os.write(1, b)\n"
        "[w(b'y' * 65536) for _ in range(16)]; w(b'\\n\\xfe\\x00\\x1b[2J\\n'); os.write(2, b'end')"
        f"\nos.close(1); os.close(2)\n{WAIT}"
    )
    async with world.supervisor(world.service("worker", script, listens=False)):
        await world.recorder.until(lambda: ("worker", "end") in world.recorder.lines)
    said = [line for name, line in world.recorder.lines if name == "worker"]
    assert "".join(said[:-2]) == "y" * (1 << 20)
    assert said[-2:] == ["\\xfe\\x00\\x1b[2J", "end"]
    assert max(map(len, said)) <= 8192


async def test_service_finds_its_environment_and_can_gain_no_privileges(world: World) -> None:
    script = (
        "import os, resource; print(os.environ['http_proxy'], os.environ['MODE'], os.getcwd(),"
        " resource.getrlimit(resource.RLIMIT_CORE)[0], os.getsid(0) == os.getpid(),"
        f" 'NoNewPrivs:\\t1' in open('/proc/self/status').read(), flush=True)\n{WAIT}"
    )
    worker = replace(world.service("worker", script, listens=False), environment={"MODE": "fast"})
    async with world.supervisor(worker) as supervisor:
        await world.recorder.until(lambda: bool(world.recorder.lines))
        proxy = supervisor.layout.proxy("worker")
    expected = f"http://{proxy} fast {world.directory} 0 True True"
    assert world.recorder.lines == [("worker", expected)]


@pytest.fixture
def open_world() -> Iterator[World]:
    """A world below a directory that every account can pass."""
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o711)
        yield World(Path(directory))


def status_of(pid: int) -> str:
    return Path(f"/proc/{pid}/status").read_text()


HIDDEN = pytest.mark.skipif(
    not open_to_others(Path(sys.executable)),
    reason="other accounts cannot reach this interpreter: use one outside of /root",
)


@HIDDEN
async def test_user_is_taken_on_and_owns_its_socket_alone(open_world: World) -> None:
    ledger = replace(open_world.service("ledger"), user="nobody", health="/")
    if os.geteuid() != 0:
        with pytest.raises(ConfigError, match="only root can start"):
            await open_world.supervisor(ledger).start()
        return
    async with open_world.supervisor(ledger) as supervisor:
        status = status_of(supervisor.pids["ledger"])
        run = supervisor.layout.service_run_dir("ledger")
        assert "Uid:\t65534\t65534\t65534\t65534" in status
        assert "CapEff:\t0000000000000000" in status
        assert run.stat().st_uid == 0
        assert stat.S_IMODE(run.stat().st_mode) == 0o711
        assert supervisor.layout.app_dir("ledger").stat().st_uid == 65534
    open_world.assert_nothing_left()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives services another account")
async def test_user_that_cannot_reach_its_socket_is_refused(world: World) -> None:
    world.directory.chmod(0o700)
    with pytest.raises(ConfigError, match=r"cannot pass .*--state"):
        await world.supervisor(replace(world.service("ledger"), user="nobody")).start()


# `meshwarden up` itself, as a process of its own.

DRIVER = """
import importlib.util, json, sys
from pathlib import Path
spec = importlib.util.spec_from_file_location("up_processes", sys.argv[1])
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
sys.exit(module.drive(Path(sys.argv[2]), sys.argv[3], json="--json" in sys.argv))
"""


def drive(directory: Path, script: str, *, json: bool) -> int:
    """Run a mesh of one service until a signal, as `meshwarden up` does."""
    world = World(directory)
    mesh = world.mesh(world.service("ledger", script))
    return run_mesh(mesh, layout_of(mesh, world.state), world.wiring(mesh), json=json)


class Up:
    """A running `up`."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        assert process.stdout is not None
        assert process.stderr is not None
        self.stdout = process.stdout
        self.stderr = process.stderr

    async def read_until(self, stream: asyncio.StreamReader, text: str) -> str:
        async with asyncio.timeout(WITHIN_S):
            while text not in (line := (await stream.readline()).decode()):
                assert line, f"ended without {text!r}"
        return line

    async def end(self) -> tuple[int, str]:
        async with asyncio.timeout(WITHIN_S):
            rest, _ = await asyncio.gather(self.stdout.read(), self.stderr.read())
            return await self.process.wait(), rest.decode()


@contextlib.asynccontextmanager
async def up(world: World, script: str = SERVE, *options: str) -> AsyncIterator[Up]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", DRIVER, __file__, str(world.directory), script, *options,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        yield Up(process)
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
async def test_signal_stops_everything_and_is_no_failure(
    world: World, number: signal.Signals
) -> None:
    async with up(world) as running:
        assert "on loopback" in (await running.stderr.readline()).decode()
        await running.read_until(running.stdout, "ledger         | serving")
        await running.read_until(running.stdout, "SERVICE")
        running.process.send_signal(number)
        code, _ = await running.end()
    assert code == 0
    world.assert_nothing_left()


async def test_second_signal_does_not_wait_for_the_stubborn(world: World) -> None:
    stubborn = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n{SERVE}"
    async with up(world, stubborn) as running:
        await running.read_until(running.stdout, "SERVICE")
        running.process.send_signal(signal.SIGTERM)
        running.process.send_signal(signal.SIGINT)
        async with asyncio.timeout(8):  # the grace alone is 10
            code, _ = await running.end()
    assert code == 0
    world.assert_nothing_left()


async def test_supervisor_that_is_killed_leaves_no_process(world: World) -> None:
    with_child = f"import subprocess; subprocess.Popen({child_of(world)!r})\n{SERVE}"
    async with up(world, with_child) as running:
        await running.read_until(running.stdout, "child up")
        await running.read_until(running.stderr, "all healthy")
        ends = [os.pidfd_open(pid) for pid in world.processes() - {running.process.pid}]
        assert len(ends) == 4  # control plane, sidecar, service, and the service's own child
        running.process.kill()
        await running.process.wait()
        for end in ends:
            await readable(end)
            os.close(end)
    # What it could not remove does not stand in the way of the next.
    assert (world.state / "run").exists()
    async with world.supervisor(world.service("ledger")):
        pass
    world.assert_nothing_left()


async def readable(descriptor: int) -> None:
    loop = asyncio.get_running_loop()
    seen = asyncio.Event()
    loop.add_reader(descriptor, seen.set)
    async with asyncio.timeout(WITHIN_S):
        await seen.wait()
    loop.remove_reader(descriptor)


async def test_json_is_one_object_on_stdout(world: World) -> None:
    async with up(world, SERVE, "--json") as running:
        line = await running.read_until(running.stdout, "{")
        (ledger,) = json.loads(line)["services"]
        assert ledger["listens"] == str(world.state / "run/ledger/app/app.sock")
        assert {ledger["pid"], ledger["sidecar_pid"]} < world.processes()
        running.process.terminate()
        code, rest = await running.end()
    assert (code, rest) == (0, "")


async def test_reader_that_goes_away_stops_the_mesh(world: World) -> None:
    chatty = (
        "import itertools, threading\ntick = lambda: [print(n, flush=True) or"
        " threading.Event().wait(0.01) for n in itertools.count()]\n"
        f"threading.Thread(target=tick, daemon=True).start()\n{SERVE}"
    )
    async with up(world, chatty) as running:
        await running.read_until(running.stdout, "SERVICE")
        running.stdout._transport.close()  # type: ignore[attr-defined]
        async with asyncio.timeout(WITHIN_S):
            await running.process.wait()
    world.assert_nothing_left()
