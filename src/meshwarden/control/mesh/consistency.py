"""The entries of a mesh file against one another: who waits for whom, and who wants which port."""

import difflib
import graphlib
from collections.abc import Mapping
from typing import NoReturn

from meshwarden.control.mesh.model import Address, MeshService
from meshwarden.kernel import Node


def check_dependencies(nodes: Mapping[str, Node], services: Mapping[str, MeshService]) -> None:
    """Refuse an `after` that names no service, or one twice, or leads in a circle; InputError."""
    for name, service in services.items():
        for index, other in enumerate(service.after):
            if other not in services or other in service.after[:index]:
                _refuse_dependency(nodes[name].mapping()["after"].items()[index], other, services)
    try:
        graphlib.TopologicalSorter({n: s.after for n, s in services.items()}).prepare()
    except graphlib.CycleError as error:
        cycle: list[str] = error.args[1][::-1]
        nodes[cycle[0]].mapping()["after"].refuse(
            "mesh.cycle", f"services wait for one another: {' after '.join(cycle)}",
            hint="remove one of these `after` entries",
        )  # fmt: skip


def _refuse_dependency(node: Node, other: str, services: Mapping[str, MeshService]) -> NoReturn:
    if other in services:
        node.refuse("mesh.duplicate", f"{node.path} names {other!r} a second time")
    near = difflib.get_close_matches(other, list(services), n=1)
    node.refuse(
        "mesh.unknown_service", f"{node.path} names {other!r}, which is no service here",
        hint=f"did you mean {near[0]!r}?" if near else f"known: {', '.join(services)}",
    )  # fmt: skip


def check_ports(nodes: Mapping[str, Node], services: Mapping[str, MeshService]) -> None:
    """Refuse a port or address that two services want; InputError `mesh.port_twice`."""
    taken: dict[int, Node] = {}
    for name, service in services.items():
        for key, port in (("port", service.port), ("edge", service.edge)):
            if port is None:
                continue
            node = nodes[name].mapping()[key]
            if port in taken:
                node.refuse(
                    "mesh.port_twice", f"port {port} of 127.0.0.1 is wanted twice",
                    hint=f"{taken[port].path} has it at {taken[port].where}",
                )  # fmt: skip
            taken[port] = node
    _check_partners(nodes, services)


def _check_partners(nodes: Mapping[str, Node], services: Mapping[str, MeshService]) -> None:
    taken: dict[Address, str] = {}
    for name, service in services.items():
        for address in service.partners.values():
            if address in taken:
                nodes[name].mapping()["partners"].refuse(
                    "mesh.port_twice",
                    f"{address} is wanted twice",
                    hint=f"{taken[address]!r} has it",
                )
            taken[address] = name
