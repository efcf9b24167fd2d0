"""The whole of a mesh file."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from meshwarden.control.federation import parse_endpoint, parse_federation
from meshwarden.control.mesh.consistency import check_dependencies, check_ports
from meshwarden.control.mesh.model import Address, AuthoritySettings, Mesh, MeshService
from meshwarden.control.mesh.parse_service import is_service_name, parse_service
from meshwarden.control.mesh.values import address_of, host_and_port, plain
from meshwarden.control.response_settings import parse_response
from meshwarden.control.tokens.settings import TokenSettings, parse_tokens
from meshwarden.control.watching.settings import parse_behaviour
from meshwarden.identity import LIFETIME_S, MAX_LIFETIME_S
from meshwarden.kernel import Node

API_VERSION: Final = "meshwarden.dev/v1"
MIN_LIFETIME_S: Final = 5  # less leaves no time between issuance and renewal
MAX_SERVICES: Final = 240  # each has one host number of its own in 127.A.B.0/24
_REQUIRED: Final = ("apiVersion", "policy", "services")
_OPTIONAL: Final = (
    "outside", "authority", "federation", "bundle_endpoint", "tokens", "behaviour", "response",
)  # fmt: skip


def parse_mesh(document: Node, directory: Path) -> Mesh:
    """Return the mesh that `document` describes, its paths taken relative to `directory`.

    Raises:
        InputError: with file, line and hint, where the document contradicts the format or itself.
    """
    top = document.fields(required=_REQUIRED, optional=_OPTIONAL)
    if top["apiVersion"].value != API_VERSION:
        top["apiVersion"].refuse(
            "mesh.api_version", "unknown apiVersion", hint=f"write {API_VERSION}"
        )
    directory = directory.absolute()
    services = _services(top["services"], directory)
    tokens, outside = top.get("tokens"), top.get("outside")
    settings: TokenSettings | None = None
    if tokens is not None:
        settings = parse_tokens(tokens, directory)
        services |= _token_service(tokens, settings, services)
    check_dependencies(top["services"].mapping(), services)
    check_ports(top["services"].mapping(), services)
    return Mesh(
        policy_path=directory / plain(top["policy"]),
        services=services,
        outside={} if outside is None else _outside(outside),
        authority=_authority(top.get("authority"), directory),
        federation=parse_federation(top.get("federation"), directory),
        bundle_endpoint=parse_endpoint(top.get("bundle_endpoint"), directory, host_and_port),
        tokens=settings,
        behaviour=parse_behaviour(top.get("behaviour")),
        response=parse_response(top.get("response"), directory),
        directory=directory,
    )


def _services(node: Node, directory: Path) -> dict[str, MeshService]:
    nodes = node.mapping()
    if not nodes:
        node.refuse("mesh.no_services", "no services", hint="name at least one")
    if len(nodes) > MAX_SERVICES:
        node.refuse("mesh.too_many_services", f"more than {MAX_SERVICES} services")
    return {name: parse_service(name, entry, directory) for name, entry in nodes.items()}


def _authority(node: Node | None, directory: Path) -> AuthoritySettings:
    if node is None:
        return AuthoritySettings()
    fields = node.fields(optional=["certificates", "key", "svid_lifetime_s"])
    certificates, key = fields.get("certificates"), fields.get("key")
    if (certificates is None) != (key is None):
        node.refuse(
            "mesh.authority", "certificates and key belong together", hint="give both or neither"
        )
    life = fields.get("svid_lifetime_s")
    return AuthoritySettings(
        certificates=directory / plain(certificates) if certificates else None,
        key=directory / plain(key) if key else None,
        svid_lifetime_s=life.integer(MIN_LIFETIME_S, MAX_LIFETIME_S) if life else LIFETIME_S,
    )


def _token_service(
    node: Node, settings: TokenSettings, services: Mapping[str, MeshService]
) -> dict[str, MeshService]:
    """Return the service that the control plane itself is: it has a sidecar and no process."""
    name = settings.service
    if not is_service_name(name) or name in services:
        node.refuse(
            "mesh.tokens", f"{name[:80]!r} cannot be the name of the token service",
            hint="a service name that no other service has",
        )  # fmt: skip
    service = MeshService(
        name=name, command=(), socket=True, directory=settings.policy_path.parent, builtin=True,
        where=node.where,
    )  # fmt: skip
    return {name: service}


def _outside(node: Node) -> dict[str, Address]:
    return {host: address_of(host, value) for host, value in node.mapping().items()}
