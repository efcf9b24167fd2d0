from pathlib import Path

import pytest

from meshwarden.control.layout import (
    Layout,
    federated_tcp_ports,
    inbound_tcp_ports,
    layout_of,
    outbound_tcp_ports,
    service_environment,
)
from meshwarden.control.mesh import Address, Mesh, MeshService
from meshwarden.kernel import ConfigError

STATE = Path("/srv/state")


def mesh_of(*services: MeshService) -> Mesh:
    return Mesh(
        policy_path=Path("/srv/access.yaml"),
        services={service.name: service for service in services},
        directory=Path("/srv"),
    )


def service(name: str, *, socket: bool = False, port: int | None = None) -> MeshService:
    return MeshService(name=name, command=("x",), directory=Path("/srv"), socket=socket, port=port)


def test_same_state_directory_and_names_give_the_same_addresses() -> None:
    first, second = Layout(STATE, ("a", "b")), Layout(STATE, ("a", "b"))
    assert first.address("b") == second.address("b")
    assert first.address("a").host.endswith(".10")
    assert first.address("b").host.endswith(".11")


def test_addresses_are_loopback_and_never_those_of_the_services_themselves() -> None:
    networks = {Layout(Path(f"/srv/{number}"), ("a",)).network for number in range(2000)}
    assert all(network.startswith("127.") for network in networks)
    assert not any(network.startswith(("127.0.", "127.255.")) for network in networks)
    assert len(networks) > 1800  # meshes on one machine rarely meet


def test_state_directory_that_no_socket_fits_below_is_refused() -> None:
    fits = "/" + "x" * (107 - len("//run/workload/workload.sock"))
    assert len(str(Layout(Path(fits), ("ledger",)).workload_socket)) == 107
    with pytest.raises(ConfigError, match=r"would have 108.*--state") as caught:
        Layout(Path(fits + "x"), ("ledger",))
    assert caught.value.code == "state.path_too_long"


def test_no_other_socket_is_longer_than_the_one_that_is_checked() -> None:
    layout = Layout(STATE, ("ledger",))
    others = (layout.xds_socket("ledger"), layout.admin_socket("ledger"), layout.api_socket)
    checked = max(len(str(layout.app_socket("ledger"))), len(str(layout.workload_socket)))
    assert all(checked >= len(str(path)) for path in others)


def test_service_finds_its_proxy_its_socket_and_its_tcp_destinations() -> None:
    mesh = mesh_of(service("ledger", socket=True), service("ledger-db", port=5432))
    layout = layout_of(mesh, STATE)
    local = Address(host=layout.host("ledger"), port=30000)
    found = service_environment(mesh, layout, "ledger", [("ledger-db", 5432, local)])
    proxy = f"http://{layout.host('ledger')}:15001"
    assert found["HTTP_PROXY"] == found["http_proxy"] == found["HTTPS_PROXY"] == proxy
    assert found["NO_PROXY"] == found["no_proxy"] == ""
    assert found["MESHWARDEN_SOCKET"] == str(layout.app_socket("ledger"))
    assert found["MESHWARDEN_TCP_LEDGER_DB_5432"] == f"{local.host}:30000"
    assert service_environment(mesh, layout, "ledger-db")["PORT"] == "5432"


def test_local_ports_of_tcp_destinations_are_apart_and_hang_on_their_names() -> None:
    alone = outbound_tcp_ports([("ledger-db", 5432)])
    many = [("ledger-db", port) for port in range(5000, 5800)]
    together = outbound_tcp_ports(many)
    assert len(set(together.values())) == len(many)
    assert 30000 <= min(together.values()) <= max(together.values()) < 32768
    assert outbound_tcp_ports([("aml", 5432), ("ledger-db", 5432)]).items() >= alone.items()
    with pytest.raises(ConfigError, match="more than 2700 tcp destinations"):
        outbound_tcp_ports([("ledger-db", port) for port in range(1, 3000)])


def test_tcp_ports_of_one_service_never_share_the_port_that_takes_them() -> None:
    assert inbound_tcp_ports([5432, 5433]) == {5432: 25432, 5433: 25433}
    assert inbound_tcp_ports([45432, 5432]) == {5432: 25432, 45432: 25433}
    many = [*range(9_000, 14_000), *range(49_000, 54_000), 65_535, 1]
    found = inbound_tcp_ports(many)
    assert len(set(found.values())) == len(many)
    assert not set(found.values()) & set(range(30_000, 32_700))  # the service's own connections
    assert set(found.values()) <= set(range(20_000, 60_000))
    with pytest.raises(ConfigError, match="accepts 40000 tcp ports"):
        inbound_tcp_ports(range(1, 40_001))


def test_tcp_ports_for_partners_are_apart_from_all_others() -> None:
    assert federated_tcp_ports([5432, 9432, 80]) == {80: 61080, 5432: 62432, 9432: 62433}
    many = federated_tcp_ports(range(1, 4001))
    assert set(many.values()) == set(range(61_000, 65_000))
    with pytest.raises(ConfigError, match="over 4000 tcp ports"):
        federated_tcp_ports(range(1, 4002))
