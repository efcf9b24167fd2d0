"""One service of a mesh file: its program, where it listens, as whom and within which limits."""

import re
from pathlib import Path
from typing import Final

from meshwarden.control.container_settings import parse_container
from meshwarden.control.edge_certificate import parse_edge
from meshwarden.control.federation import parse_partners
from meshwarden.control.mesh.model import (
    DEFAULT_PIDS,
    DEFAULT_START_TIMEOUT_S,
    Address,
    MeshService,
    ServiceLimits,
)
from meshwarden.control.mesh.values import host_and_port, plain, text_of
from meshwarden.kernel import Node
from meshwarden.kernel.document import Fields

RESERVED_NAMES: Final = frozenset(
    {"border", "control-plane", "meshwarden", "workload"}
)  # they name our own log lines
PROXY_VARIABLES: Final = frozenset({"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"})

_NAME: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_KEYS: Final = (
    "socket", "port", "health", "after", "environment", "directory", "user", "edge",
    "start_timeout_s", "limits", "partners",
)  # fmt: skip
_CONTAINER_KEYS: Final = ("socket", "health", "after", "edge", "start_timeout_s", "partners")


def is_service_name(name: str) -> bool:
    """Return whether a service may have that name."""
    return bool(_NAME.fullmatch(name)) and name not in RESERVED_NAMES


def parse_service(name: str, node: Node, directory: Path) -> MeshService:
    """Return one service, its paths taken relative to `directory`; InputError, with its line."""
    _check_name(name, node)
    contained = "container" in node.mapping()
    fields = node.fields(
        required=["container" if contained else "command"],
        optional=_CONTAINER_KEYS if contained else _KEYS,
    )
    socket, port = _listening(name, node, fields)
    edge, certificate = parse_edge(fields.get("edge"), directory)
    health, after = fields.get("health"), fields.get("after")
    timeout, user = fields.get("start_timeout_s"), fields.get("user")
    below = fields.get("directory")
    return MeshService(
        name=name,
        command=() if contained else _command(fields["command"]),
        socket=socket,
        port=port,
        health=None if health is None else _health(health),
        after=() if after is None else tuple(after.texts()),
        environment=_environment(fields.get("environment"), port=port),
        directory=directory / plain(below) if below else directory,
        user=None if user is None else plain(user),
        edge=edge,
        edge_certificate=certificate,
        partners=_partners(fields.get("partners")),
        start_timeout_s=timeout.number(0.1, 3600) if timeout else DEFAULT_START_TIMEOUT_S,
        limits=_limits(fields.get("limits")),
        where=node.where,
        container=parse_container(fields["container"], directory) if contained else None,
    )


def _check_name(name: str, node: Node) -> None:
    if not _NAME.fullmatch(name):
        node.refuse(
            "mesh.name", f"{name[:80]!r} is not a service name",
            hint="1 to 63 of a-z 0-9 -, with a letter or digit at both ends",
        )  # fmt: skip
    if name in RESERVED_NAMES:
        node.refuse("mesh.name", f"the name {name!r} is taken by meshwarden itself")


def _listening(name: str, node: Node, fields: Fields) -> tuple[bool, int | None]:
    """Return whether it listens on its socket, and its port; neither is for one that only calls."""
    socket, port = fields.get("socket"), fields.get("port")
    uses_socket = socket is not None and socket.boolean()
    if uses_socket and port is not None:
        port.refuse(
            "mesh.socket_and_port", f"{node.path} has both socket and port", hint="keep one"
        )
    given = fields.get("edge") or fields.get("health") or fields.get("partners")
    if not uses_socket and port is None and given:
        given.refuse(
            "mesh.listens_nowhere",
            f"{name!r} listens nowhere, so it can have neither health nor edge nor partners",
            hint="add `socket: true` or `port: N`",
        )
    return uses_socket, None if port is None else port.integer(1, 65535)


def _partners(node: Node | None) -> dict[int | None, Address]:
    return {
        port: Address(host=host, port=number)
        for port, (host, number) in parse_partners(node, host_and_port).items()
    }


def _command(node: Node) -> tuple[str, ...]:
    if isinstance(node.value, str):
        node.refuse(
            "mesh.command",
            f"{node.path} must be a list",
            hint='for example ["./ledger", "--verbose"]',
        )
    if not node.items():
        node.refuse("mesh.command", f"{node.path} is empty", hint="name the program first")
    return tuple(text_of(item) for item in node.items())


def _health(node: Node) -> str | None:
    text = node.text()
    if text == "tcp":
        return None
    if not re.fullmatch(r"/[!-~]*", text):
        node.refuse(
            "mesh.health", f"{node.path} is neither `tcp` nor a path", hint="for example /healthz"
        )
    return text


def _limits(node: Node | None) -> ServiceLimits:
    if node is None:
        return ServiceLimits()
    fields = node.fields(optional=["memory_mb", "pids"])
    memory, pids = fields.get("memory_mb"), fields.get("pids")
    return ServiceLimits(
        memory_mb=memory.integer(16, 1 << 24) if memory else None,
        pids=pids.integer(4, 1 << 20) if pids else DEFAULT_PIDS,
    )


def _environment(node: Node | None, *, port: int | None) -> dict[str, str]:
    if node is None:
        return {}
    for name, value in node.mapping().items():
        if not _VARIABLE.fullmatch(name):
            value.refuse("mesh.variable", f"{name[:80]!r} is not a variable name")
        ours = name.upper() in PROXY_VARIABLES or name.startswith("MESHWARDEN_")
        if ours or (name == "PORT" and port is not None):
            value.refuse(
                "mesh.variable", f"{name} is set by meshwarden", hint="remove it from environment"
            )
    return {name: text_of(value) for name, value in node.mapping().items()}
