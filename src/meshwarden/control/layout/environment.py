"""What a service is told of the mesh, by its environment."""

from collections.abc import Iterable

from meshwarden.control.layout.layout import Layout
from meshwarden.control.mesh import Address, Mesh


def service_environment(
    mesh: Mesh, layout: Layout, name: str, tcp: Iterable[tuple[str, int, Address]] = ()
) -> dict[str, str]:
    """Return the variables through which a service finds the mesh, besides its own.

    Args:
        mesh: the mesh that holds it.
        layout: its layout.
        name: the service.
        tcp: destinations of connections that the policy lets it open: service, port, and where
            its sidecar takes them.
    """
    service = mesh.services[name]
    proxy = f"http://{layout.proxy(name)}"
    found = {"HTTP_PROXY": proxy, "HTTPS_PROXY": proxy, "NO_PROXY": ""}
    # curl reads only http_proxy, Go and Python either spelling, Node.js both with the switch.
    found |= {key.lower(): value for key, value in found.items()}
    found["NODE_USE_ENV_PROXY"] = "1"
    found["SPIFFE_ENDPOINT_SOCKET"] = f"unix://{layout.workload_socket}"
    if service.socket:
        found["MESHWARDEN_SOCKET"] = str(layout.app_socket(name))
    if service.port is not None:
        found["PORT"] = str(service.port)
    for other, port, address in tcp:
        variable = f"MESHWARDEN_TCP_{other.replace('-', '_').upper()}_{port}"
        found[variable] = str(address)
    return found
