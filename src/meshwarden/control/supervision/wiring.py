"""The wiring of a mesh: control plane, an Envoy for each service, one for an isolated mesh."""

import contextlib
import json
import sys
from collections.abc import Mapping
from pathlib import Path

from meshwarden.adapters.envoy.bootstrap import envoy_command, render_bootstrap
from meshwarden.adapters.process import answers
from meshwarden.adapters.storage.tail import end_last_line
from meshwarden.control.fabric import foreign_ends, tcp_destinations
from meshwarden.control.layout import (
    BORDER,
    Layout,
    inbound_tcp_ports,
    service_environment,
    sidecar_name,
)
from meshwarden.control.mesh import Address, Mesh, MeshService
from meshwarden.control.supervision.model import Claim, Wiring
from meshwarden.kernel import DependencyError
from meshwarden.policy import AccessPolicy

_ENTRY = "from meshwarden.cli import main; main()"


def wire(mesh_file: Path, mesh: Mesh, policy: AccessPolicy, layout: Layout) -> Wiring:
    """Return how control plane and sidecars of `mesh` are started, and what services are told."""

    def _envoy(name: str, *, known_as: str) -> list[str]:
        bootstrap = layout.bootstrap(name)
        with contextlib.suppress(OSError):  # on a full disk a line is lost, the sidecar is not
            end_last_line(layout.access_log(name))  # its predecessor may have been killed
        try:
            _store_bootstrap(bootstrap, name, layout)
        except OSError as error:
            raise DependencyError(
                "process.start", f"{known_as}: cannot be prepared: {error}"
            ) from error
        return envoy_command(bootstrap)

    def _sidecar(service: MeshService) -> list[str]:
        return _envoy(service.name, known_as=sidecar_name(service.name))

    async def _ready(service: MeshService) -> bool:
        return await answers(layout.admin_socket(service.name), "/ready")

    async def _border_ready() -> bool:
        return await answers(layout.admin_socket(BORDER), "/ready")

    def _environment(service: MeshService) -> Mapping[str, str]:
        tcp = tcp_destinations(policy, mesh, layout, service.name)
        return service_environment(mesh, layout, service.name, tcp)

    return Wiring(
        control_plane=control_plane_command(mesh_file, layout),
        sidecar=_sidecar,
        sidecar_ready=_ready,
        environment=_environment,
        claims=[] if layout.isolated else _tcp_claims(mesh, policy, layout),
        border=(lambda: _envoy(BORDER, known_as=BORDER)) if layout.isolated else None,
        border_ready=_border_ready,
    )


def control_plane_command(mesh_file: Path, layout: Layout) -> list[str]:
    """Return the command of the control plane, run by this interpreter.

    `-P` keeps modules that lie in the mesh file's directory from being imported in place of ours.
    """
    arguments = ["serve", str(mesh_file.absolute()), "--state", str(layout.state)]
    if layout.first_uid is not None:
        arguments += ["--first-uid", str(layout.first_uid)]
    return [sys.executable, "-P", "-c", _ENTRY, *arguments]


def _store_bootstrap(path: Path, name: str, layout: Layout) -> None:
    document = render_bootstrap(
        node=name, xds_socket=layout.xds_socket(name), admin_socket=layout.admin_socket(name)
    )
    text = json.dumps(document)
    if not path.exists() or path.read_text() != text:  # a full disk stops no restart
        path.write_text(text)
    path.chmod(0o644)  # it names paths, and its reader may be another user; the directory is closed


def _tcp_claims(mesh: Mesh, policy: AccessPolicy, layout: Layout) -> list[Claim]:
    claims = []
    for name in mesh.services:
        host, who = layout.host(name), f"the sidecar of {name!r}"
        ports = inbound_tcp_ports(policy.services[name].tcp_ports)
        taken = [Address(host=host, port=port) for port in ports.values()]
        taken += [address for _, _, address in tcp_destinations(policy, mesh, layout, name)]
        others = foreign_ends(policy, mesh.services[name], layout)
        taken += [Address(host=end.address, port=end.port) for end in others.values() if end.port]
        claims += [Claim(address=address, who=who) for address in taken]
    return claims
