"""Who may have which identity: registrations, and the facts about a caller that they are held to.

A registration names an identity and the selectors that a process must all meet. A process may meet
several registrations; it then has several identities, the first registered being its default. What
meets none gets nothing, and an unknown fact meets no selector.

Selectors are facts that the kernel keeps about a process and that the process cannot choose: user,
group, control group, network namespace, session with its leader's start. Path and digest of the
executable narrow a registration further, but say nothing where the program only runs other code:
everything that `python3` runs has the path and the digest of `python3`. A registration that has
nothing but the path or digest of an interpreter is therefore refused, and so is a digest alone,
which does not tell of what.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import PurePosixPath
from typing import Final

from meshwarden.kernel import ConfigError, SpiffeId

MAX_ID: Final = 2**32 - 2
WORKLOAD_HOLDER: Final = "workload:"
"""How names of holders begin that are no service of the mesh; those hold no colon."""

_SHA256 = re.compile(r"[0-9a-f]{64}")
_INTERPRETER = re.compile(
    r"(python|pypy|perl|ruby|irb|node|nodejs|deno|bun|java|php|php-fpm|php-cgi|lua|luajit|tclsh|wish|"
    r"sh|bash|dash|zsh|ksh|mksh|fish|csh|tcsh|ash|busybox|toybox|env|awk|gawk|mawk|nawk|dotnet|mono|"
    r"erl|beam(\.smp)?|escript|iex|elixir|guile|sbcl|clisp|ghci|runghc|Rscript|R|octave|octave-cli|"
    r"julia|scala|groovy|jshell|qemu-[a-z0-9_]+|wine(64)?|wasmtime|wasmer|pwsh|osascript|expect|make|"
    r"ld(-linux.*|-musl.*)|gdb|strace|rbash|rustpython|micropython|graalpy|jruby|jython)"
    r"(-?[0-9][-0-9.a-z]*)?(\.so(\.[0-9]+)*)?"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessFacts:
    """What the kernel says about the process at the other end of a socket.

    Attributes:
        pid: its process id, as the control plane's own namespace counts.
        start_ticks: when it started, in clock ticks since boot; with `pid` it names one process.
        uid: effective user id when it connected.
        gid: effective group id when it connected.
        groups: its supplementary groups.
        session: its session id: the pid of the session's leader.
        session_start_ticks: when the leader started; None where the leader is gone.
        cgroup: path of its control group in the unified hierarchy; None where there is none.
        network_namespace: inode number of its network namespace; None where it cannot be read.
        executable: path of its executable; None where it cannot be read or was deleted.
        sha256: digest of that very executable, lower-case hexadecimal; None where not computed.
    """

    pid: int
    start_ticks: int
    uid: int
    gid: int
    groups: frozenset[int] = frozenset()
    session: int | None = None
    session_start_ticks: int | None = None
    cgroup: str | None = None
    network_namespace: int | None = None
    executable: str | None = None
    sha256: str | None = None

    @property
    def instance(self) -> tuple[int, int]:
        """What names this one process, until the machine is started again."""
        return self.pid, self.start_ticks

    @property
    def holder(self) -> str:
        """The same as text, with its user: what the register calls the holder of its SVIDs."""
        return f"{WORKLOAD_HOLDER}{self.uid}/{self.pid}@{self.start_ticks}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A session: its leader's pid and start. A process is born into one and cannot join another."""

    leader: int
    start_ticks: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Selectors:
    """What a process must meet, all of it; None asks for nothing.

    Attributes:
        uid: effective user id.
        gid: effective or supplementary group id.
        cgroup: its control group is this one or lies below it.
        network_namespace: inode number of its network namespace.
        session: it belongs to this session.
        executable: absolute path of its executable.
        sha256: digest of its executable, lower-case hexadecimal.
    """

    uid: int | None = None
    gid: int | None = None
    cgroup: str | None = None
    network_namespace: int | None = None
    session: Session | None = None
    executable: str | None = None
    sha256: str | None = None

    def __post_init__(self) -> None:
        for name in ("uid", "gid"):
            number = getattr(self, name)
            if number is not None and not 0 <= number <= MAX_ID:
                raise _refused(f"{name} {number} is not from 0 to {MAX_ID}")
        if self.network_namespace is not None and self.network_namespace <= 0:
            raise _refused("a network namespace is a positive inode number")
        for name in ("cgroup", "executable"):
            path = getattr(self, name)
            if path is not None and not _is_plain(path):
                raise _refused(f"{name} {path[:120]!r} is not an absolute, normalized path")
        if self.sha256 is not None and not _SHA256.fullmatch(self.sha256):
            raise _refused("sha256 is 64 lower-case hexadecimal digits")
        _require_proof(self)

    def meets(self, facts: ProcessFacts) -> bool:
        """Return whether the process meets every selector; an unknown fact meets none."""
        return (
            self.uid in {None, facts.uid}
            and (self.gid is None or self.gid == facts.gid or self.gid in facts.groups)
            and (self.cgroup is None or _is_below(facts.cgroup, self.cgroup))
            and self.network_namespace in {None, facts.network_namespace}
            and (self.session is None or _is_of(facts, self.session))
            and self.executable in {None, facts.executable}
            and self.sha256 in {None, facts.sha256}
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """An identity for the processes that meet the selectors.

    Attributes:
        identity: what they get.
        selectors: what they must meet.
        hint: how a workload with several identities tells them apart; passed on as it is.
    """

    identity: SpiffeId
    selectors: Selectors
    hint: str = ""


def match_registrations(
    facts: ProcessFacts, registrations: Iterable[Registration]
) -> tuple[Registration, ...]:
    """Return the registrations that the process meets, one an identity, in the order given."""
    found: dict[SpiffeId, Registration] = {}
    for registration in registrations:
        if registration.identity not in found and registration.selectors.meets(facts):
            found[registration.identity] = registration
    return tuple(found.values())


def is_interpreter(executable: str) -> bool:
    """Return whether the path's last part is the name of a program that runs other code.

    >>> is_interpreter("/usr/bin/python3.11"), is_interpreter("/opt/bank/ledger")
    (True, False)
    """
    return _INTERPRETER.fullmatch(PurePosixPath(executable).name) is not None


def _require_proof(selectors: Selectors) -> None:
    given = {one.name for one in fields(selectors) if getattr(selectors, one.name) is not None}
    if not given:
        raise _refused("a registration needs at least one selector", hint="for example --uid 1001")
    if given - {"executable", "sha256"}:
        return
    if selectors.executable is None:
        raise _refused(
            "the digest of an executable alone does not tell whether it runs other code",
            hint="add its path, or better a user: --executable PATH or --uid N",
        )
    if is_interpreter(selectors.executable):
        raise _refused(
            f"{selectors.executable} runs any code that it is given, so its path or digest proves"
            " nothing about the caller",
            hint="add what the kernel knows of this one workload: --uid, --cgroup, ...",
        )


def _is_plain(path: str) -> bool:
    return (
        path.startswith("/")
        and "\0" not in path
        and "\n" not in path
        and ".." not in PurePosixPath(path).parts
        and str(PurePosixPath(path)) == path
    )


def _is_below(path: str | None, above: str) -> bool:
    return path is not None and (path == above or path.startswith(above.rstrip("/") + "/"))


def _is_of(facts: ProcessFacts, session: Session) -> bool:
    return (
        facts.session_start_ticks is not None
        and facts.session == session.leader
        and facts.session_start_ticks == session.start_ticks
    )


def _refused(message: str, *, hint: str = "") -> ConfigError:
    return ConfigError("identity.selectors", message, hint=hint)
