"""`meshwarden identity register` and `unregister`: which processes may have an identity.

A running control plane sees the change within a second; nothing has to be started again.
"""

import json as jsonlib
import sys
from pathlib import Path
from typing import Annotated, Final

from cyclopts import Parameter

from meshwarden.adapters.storage.registrations import change_registrations, render_registration
from meshwarden.adapters.yaml import load_document
from meshwarden.identity import Registration, Selectors, is_interpreter
from meshwarden.kernel import ConfigError, MeshwardenError, SpiffeId
from meshwarden.policy import parse_policy

STATE: Final = Path(".meshwarden")
LOADER_NOTE: Final = (
    "note: whoever may run this program can have it load other code (LD_PRELOAD, a debugger); a"
    " user beside it (--uid) makes that the user's own business"
)
_WIDTH: Final = 100


def register(  # noqa: PLR0913  # one for each selector
    spiffe_id: str,
    /,
    *,
    uid: int | None = None,
    gid: int | None = None,
    cgroup: str | None = None,
    network_namespace: int | None = None,
    executable: Path | None = None,
    sha256: str | None = None,
    hint: str = "",
    state: Path = STATE,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Let the processes that meet every selector have an identity.

    Example: meshwarden identity register spiffe://bank.example/ns/core/sa/batch --uid 1001

    Args:
        spiffe_id: the identity, of the mesh's own trust domain.
        uid: effective user id.
        gid: effective or supplementary group id.
        cgroup: control group, as in /proc/PID/cgroup; those below it count too.
        network_namespace: inode number, as in /proc/PID/ns/net.
        executable: path of the program; with an interpreter or a script, give a selector more.
        sha256: digest of the program, 64 hexadecimal digits.
        hint: how a process with several identities tells them apart.
        state: the state directory of the mesh.
        json: print one JSON object.
    """
    identity = SpiffeId.parse(spiffe_id)
    _require_own(identity, state)
    program = None if executable is None else _program(executable)
    selectors = Selectors(
        uid=uid,
        gid=gid,
        cgroup=cgroup,
        network_namespace=network_namespace,
        executable=program,
        sha256=sha256,
    )
    new = Registration(identity=identity, selectors=selectors, hint=hint)
    _require_state(state)
    change_registrations(state / "registrations.json", lambda known: _added(known, new))
    if (uid, gid, cgroup, network_namespace) == (None, None, None, None):
        print(f"meshwarden: {LOADER_NOTE}", file=sys.stderr)
    print(jsonlib.dumps(render_registration(new)) if json else f"registered {identity}")
    return 0


def unregister(
    spiffe_id: str,
    /,
    *,
    state: Path = STATE,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Take back all registrations of an identity; what was issued stays valid until it expires.

    Example: meshwarden identity unregister spiffe://bank.example/ns/core/sa/batch

    Args:
        spiffe_id: the identity.
        state: the state directory of the mesh.
        json: print one JSON object.
    """
    identity = SpiffeId.parse(spiffe_id)
    _require_state(state)
    removed: list[Registration] = []

    def _without(known: tuple[Registration, ...]) -> list[Registration]:
        removed.extend(one for one in known if one.identity == identity)
        return [one for one in known if one.identity != identity]

    change_registrations(state / "registrations.json", _without)
    if not removed:
        raise ConfigError(
            "identity.not_registered", f"{identity} is not registered in {state}",
            hint="meshwarden identity registrations shows what is",
        )  # fmt: skip
    found = {"removed": [render_registration(one) for one in removed]}
    print(jsonlib.dumps(found) if json else f"unregistered {identity}")
    return 0


def _added(known: tuple[Registration, ...], new: Registration) -> tuple[Registration, ...]:
    same = (one.identity == new.identity and one.selectors == new.selectors for one in known)
    if any(same):
        raise ConfigError(
            "identity.registered_twice", f"{new.identity} is registered with these selectors"
        )
    return (*known, new)


def _require_state(state: Path) -> None:
    if not state.is_dir():
        raise ConfigError(
            "state.missing", f"there is no state directory {state}",
            hint="name the one of the mesh with --state",
        )  # fmt: skip


def _require_own(identity: SpiffeId, state: Path) -> None:
    """Refuse an identity of another trust domain, where it is known which is the mesh's own."""
    policy = state / "accepted-policy.yaml"
    try:
        trust_domain = parse_policy(load_document(policy)).trust_domain
    except MeshwardenError:
        return  # never started: the control plane leaves out what is not of its trust domain
    if identity.trust_domain != trust_domain:
        raise ConfigError(
            "identity.foreign_identity",
            f"{identity} is not of the mesh's trust domain {trust_domain}",
        )


def _program(executable: Path) -> str:
    """Return the path as the kernel will report it, having looked at what lies there."""
    try:
        found = executable.resolve(strict=True)
        with found.open("rb") as file:
            start = file.read(2)
    except OSError as error:
        raise ConfigError(
            "identity.selectors", f"{executable} cannot be read: {error.strerror}"
        ) from error
    if start == b"#!":
        raise ConfigError(
            "identity.selectors",
            f"{executable} is a script: what runs is its interpreter, so its path is never seen",
            hint="select by --uid, --cgroup or --network-namespace instead",
        )
    if found != executable.absolute() and not is_interpreter(str(found)):
        print(f"meshwarden: note: registered as {found}"[:_WIDTH], file=sys.stderr)
    return str(found)
