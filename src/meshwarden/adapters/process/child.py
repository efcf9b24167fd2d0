"""One child process and all that it starts: output forwarded line by line, stopped as a group.

A child is started through `launch.py`, which gives it a session of its own and ends it with this
process. Nothing is left of it once `wait` has returned: members of its process group that outlive
their leader get `LINGER_S` to close the output, then SIGKILL. The leader stays unreaped until then,
so the group's number cannot be another's meanwhile. A descendant that opens a session of its own
escapes this, as it escapes a terminal.
"""

import asyncio
import collections
import contextlib
import errno
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from meshwarden.adapters.process import confine, launch
from meshwarden.adapters.process.account import Account, find_account
from meshwarden.adapters.process.guard import Guard
from meshwarden.adapters.process.output import Lines
from meshwarden.adapters.process.room import Room
from meshwarden.kernel import ConfigError, DependencyError, MeshwardenError

LINGER_S: Final = 2.0
TAIL_LINES: Final = 10

LineSink = Callable[[str, str], None]
"""Takes a child's name and one line of its output."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """What to start.

    Attributes:
        name: names it in output and errors.
        command: program and arguments; the program is a path or found through `PATH`.
        environment: all of its variables.
        directory: its working directory, to which a relative path in `command` belongs.
        user: the account to run as; None: the current one.
        open_files: how many files it may open, where the machine allows so many.
        account: the account to run as where it has no entry in the machine's list.
        room: what it is shut into; None: it sees what this process sees.
    """

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    directory: Path
    user: str | None = None
    open_files: int | None = None
    account: Account | None = None
    room: Room | None = None


@dataclass(frozen=True, slots=True)
class Exit:
    """How a child ended: `status` is its exit code, or minus the signal that ended it."""

    status: int

    def __str__(self) -> str:
        if self.status >= 0:
            return f"exit code {self.status}"
        try:
            return f"killed by {signal.Signals(-self.status).name}"
        except ValueError:  # real-time signals have no names
            return f"killed by signal {-self.status}"


def resolve_program(program: Program) -> Account | None:
    """Return the account that `program` runs as, None for the current one, having checked the rest.

    Raises:
        ConfigError: `process.directory`, `process.command` or `process.user`.
    """
    account = program.account
    if program.user:
        account = find_account(program.user, asker=program.name)
    if not program.directory.is_dir():
        raise ConfigError(
            "process.directory",
            f"{program.name}: its directory {program.directory} does not exist",
            hint="paths are relative to the mesh file",
        )
    name = program.command[0]
    candidate = str(program.directory / name) if "/" in name else name
    if shutil.which(candidate, path=program.environment.get("PATH", os.defpath)) is None:
        exists = "/" in name and Path(candidate).exists()
        raise ConfigError(
            "process.command",
            f"{program.name}: its command {name!r} is "
            + ("not executable" if exists else "not found"),
            hint=f"chmod +x {candidate}" if exists else "check command, PATH and directory",
        )
    return account


@dataclass(frozen=True, slots=True)
class _Pipe:
    """The reading end of a pipe; open until its transport is closed, or all writers are gone."""

    reader: asyncio.StreamReader
    transport: asyncio.ReadTransport


class Child:
    """A running program. Made by `Child.start`."""

    def __init__(
        self,
        program: Program,
        process: subprocess.Popen[bytes],
        output: _Pipe,
        guard: Guard,
        sink: LineSink,
    ) -> None:
        self.name = program.name
        self.pid = process.pid
        self.started_s = asyncio.get_running_loop().time()
        self.tail: collections.deque[str] = collections.deque(maxlen=TAIL_LINES)
        self._process = process
        self._guard = guard
        self._sink = sink
        guard.watch(self.pid)
        self._leader_gone = _leader_gone(self.pid)
        self._output = output
        self._pump = asyncio.create_task(self._forward(output.reader))
        self._done = asyncio.create_task(self._follow())

    @classmethod
    async def start(cls, program: Program, *, guard: Guard, sink: LineSink) -> "Child":
        """Return once the command itself runs.

        Raises:
            ConfigError: as `resolve_program`, and where the command cannot be executed.
            DependencyError: `process.start` where the machine refuses another process.
        """
        account = resolve_program(program)
        process, output, report = await _spawn(program, account)
        child = cls(program, process, output, guard, sink)
        try:
            failure = await report.reader.read()
        except asyncio.CancelledError:
            child.kill()
            await child.wait()
            raise
        finally:
            report.transport.close()
        if failure:
            await child.wait()
            raise _start_error(program, failure)
        return child

    def kill(self) -> None:
        """Send SIGKILL to the whole group."""
        self._signal(signal.SIGKILL)

    async def wait(self) -> Exit:
        """Return how it ended, once nothing is left of its group."""
        return await asyncio.shield(self._done)

    async def stop(self, *, grace_s: float) -> Exit:
        """Send SIGTERM to the group, and SIGKILL to what is left after `grace_s`.

        A leader that is frozen hears no SIGTERM: then nothing is waited for.
        """
        self._signal(signal.SIGTERM)
        await asyncio.wait({self._done}, timeout=0 if _is_frozen(self.pid) else grace_s)
        self._signal(signal.SIGKILL)
        return await self.wait()

    def _signal(self, number: signal.Signals) -> None:
        if self._done.done():
            return
        # Before its first step the launcher leads no group yet: reach it by its own number.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)
            return
        self._process.send_signal(number)

    async def _follow(self) -> Exit:
        await self._leader_gone
        self._kill_group(signal.SIGTERM)
        await asyncio.wait({self._pump}, timeout=LINGER_S)
        self._kill_group(signal.SIGKILL)
        await asyncio.wait({self._pump}, timeout=LINGER_S)
        self._pump.cancel()
        self._output.transport.close()  # a descendant that left the group may hold its other end
        self._guard.forget(self.pid)
        return Exit(self._process.wait())

    def _kill_group(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    async def _forward(self, output: asyncio.StreamReader) -> None:
        lines = Lines()
        while chunk := await output.read(1 << 16):
            for line in lines.feed(chunk):
                self._emit(line)
        for line in lines.feed(b"", final=True):
            self._emit(line)

    def _emit(self, line: str) -> None:
        self.tail.append(line)
        self._sink(self.name, line)


def _is_frozen(pid: int) -> bool:
    """Return whether the process `pid` is stopped by a signal or by a tracer (proc_pid_stat(5))."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in {"T", "t"}
    except (FileNotFoundError, ProcessLookupError):
        return False


async def _spawn(
    program: Program, account: Account | None
) -> tuple[subprocess.Popen[bytes], _Pipe, _Pipe]:
    """Return the launcher's process, its output, and what it reports where it fails."""
    output_read, output_write = os.pipe()
    report_read, report_write = os.pipe()
    environment = dict(program.environment) | (account.environment if account else {})
    try:
        process = subprocess.Popen(  # noqa: ASYNC220  # a vfork of a millisecond
            _launcher(program, account, report=report_write),
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output_write,
            stderr=output_write,
            pass_fds=[report_write, *_descriptors(program.room)],
        )
    except OSError as error:
        os.close(output_read)
        os.close(report_read)
        raise DependencyError(
            "process.start", f"{program.name}: cannot start a process: {error.strerror}"
        ) from error
    finally:
        os.close(output_write)
        os.close(report_write)
    return process, await _reader(output_read), await _reader(report_read)


def _descriptors(room: Room | None) -> list[int]:
    return [room.network] if room is not None and room.network is not None else []


def _launcher(program: Program, account: Account | None, *, report: int) -> list[str]:
    python = [sys.executable, "-I", "-S"]
    options = [f"--parent={os.getpid()}", f"--report={report}", f"--directory={program.directory}"]
    if program.open_files is not None:
        options.append(f"--open-files={program.open_files}")
    if account is not None:
        groups = ",".join(str(group) for group in account.groups)
        options.append(f"--account={account.uid}:{account.gid}:{groups}")
        if account.capability is not None:
            options.append(f"--capability={account.capability}")
    command = [*python, launch.__file__, *options, "--", *program.command]
    if program.room is None:
        return command
    room = [f"--report={report}", f"--room={program.room.render()}"]
    return [*python, confine.__file__, *room, "--", *command]


async def _reader(descriptor: int) -> _Pipe:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(loop=loop)
    transport, _ = await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader, loop=loop), os.fdopen(descriptor, "rb", 0)
    )
    return _Pipe(reader, transport)


def _leader_gone(pid: int) -> asyncio.Future[None]:
    """Return a future that is done when the process `pid` has ended, unreaped as it is then."""
    loop = asyncio.get_running_loop()
    gone: asyncio.Future[None] = loop.create_future()
    descriptor = os.pidfd_open(pid)

    def _seen() -> None:
        loop.remove_reader(descriptor)
        os.close(descriptor)
        if not gone.done():
            gone.set_result(None)

    loop.add_reader(descriptor, _seen)
    return gone


def _start_error(program: Program, failure: bytes) -> MeshwardenError:
    number, _, step = failure.decode().partition(" ")
    reason = os.strerror(int(number))
    if step == "command" and int(number) == errno.ENOENT:
        reason = "the interpreter that its first line names is not found"
    what = {"command": f"its command {program.command[0]!r}", "directory": "its directory"}
    kind = ConfigError if step in what else DependencyError
    account = f" as {program.user}" if program.user else ""
    return kind(
        f"process.{step}",
        f"{program.name}: {what.get(step, step)} cannot be used{account}: {reason}",
        hint="check the file, its permissions and its user" if step in what else "",
    )
