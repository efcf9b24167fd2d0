from pathlib import Path

import pytest

from meshwarden.adapters.yaml import parse_document
from meshwarden.control.mesh import Address, Mesh, check_against, parse_mesh
from meshwarden.kernel import ConfigError, InputError, SpiffeId
from meshwarden.policy.model import AccessPolicy, Rule, Service

HEAD = "apiVersion: meshwarden.dev/v1\npolicy: access.yaml\n"
DIRECTORY = Path("/srv/bank")


def parse(services: str, *, outside: str = "") -> Mesh:
    raw = (HEAD + "services:\n" + services + outside).encode()
    return parse_mesh(parse_document(raw, name="mesh.yaml"), DIRECTORY)


def test_all_keys_of_a_service_are_read() -> None:
    mesh = parse(
        "  db: {command: [db, -p, 5432], port: 5432, user: postgres, start_timeout_s: 60}\n"
        "  ledger:\n"
        "    command: [./ledger]\n"
        "    socket: true\n"
        "    health: /healthz\n"
        "    after: [db]\n"
        "    environment: {MODE: fast, SIZE: 3, EMPTY: ''}\n"
        "    directory: programs\n"
        "    edge: 8443\n",
        outside="outside: {api.cards.example: '127.0.0.1:18443', v6.example: '[::1]:443'}\n",
    )
    db, ledger = mesh.services.values()
    assert db.command == ("db", "-p", "5432")
    assert (db.port, db.socket, db.health, db.user, db.start_timeout_s) == (
        5432, False, None, "postgres", 60.0,
    )  # fmt: skip
    assert (ledger.socket, ledger.port, ledger.health) == (True, None, "/healthz")
    assert ledger.after == ("db",)
    assert ledger.environment == {"MODE": "fast", "SIZE": "3", "EMPTY": ""}
    assert ledger.directory == DIRECTORY / "programs"
    assert ledger.edge == 8443
    assert ledger.where == "mesh.yaml:6"
    assert mesh.policy_path == DIRECTORY / "access.yaml"
    assert mesh.outside["api.cards.example"] == Address(host="127.0.0.1", port=18443)
    assert str(mesh.outside["v6.example"]) == "[::1]:443"


def test_partners_arrive_where_the_file_says() -> None:
    ends = "[{listen: '0.0.0.0:15444'}, {listen: '[::1]:8000', tcp: 5432}]"
    mesh = parse(f"  a: {{command: [a], port: 1, partners: {ends}}}\n")
    assert mesh.services["a"].partners == {
        None: Address(host="0.0.0.0", port=15444),  # noqa: S104  # as it is meant
        5432: Address(host="::1", port=8000),
    }


def test_health_tcp_means_that_it_accepts_connections() -> None:
    assert parse("  a: {command: [a], port: 1, health: tcp}\n").services["a"].health is None


@pytest.mark.parametrize(
    ("services", "code", "line", "says"),
    [
        ("  a: {}\n", "document.missing_key", 4, "'command'"),
        ("  a: {command: []}\n", "mesh.command", 4, "empty"),
        ("  a: {command: run it}\n", "mesh.command", 4, "list"),
        ("  a: {command: [a, 1.5]}\n", "mesh.text", 4, "quotes"),
        ("  a: {command: [a], colour: red}\n", "document.unknown_key", 4, "colour"),
        ("  a: {command: [a], prot: 1}\n", "document.unknown_key", 4, "'port'"),
        ("  A_1: {command: [a]}\n", "mesh.name", 4, "A_1"),
        ("  control-plane: {command: [a]}\n", "mesh.name", 4, "taken"),
        ("  a: {command: [a], port: 0}\n", "document.type", 4, "65535"),
        ("  a: {command: [a], partners: [{listen: '127.0.0.1:1'}]}\n",
         "mesh.listens_nowhere", 4, "partners"),
        ("  a: {command: [a], port: 1, partners: [{listen: somewhere:1}]}\n",
         "mesh.outside", 4, "IP:port"),
        ("  a: {command: [a], port: 1, partners: [{listen: '127.0.0.1:1', tcp: 0}]}\n",
         "document.type", 4, "65535"),
        ("  a: {command: [a], port: 1, partners: [{listen: '127.0.0.1:1'}, {listen: '[::1]:1'}]}\n",
         "mesh.partners", 4, "again"),
        ("  a: {command: [a], port: 1, partners: [{listen: '127.0.0.1:1'}]}\n"
         "  b: {command: [b], port: 2, partners: [{listen: '127.0.0.1:1', tcp: 5}]}\n",
         "mesh.port_twice", 5, "127.0.0.1:1"),
        ("  a: {command: [a], port: 65536}\n", "document.type", 4, "65535"),
        ("  a: {command: [a], port: 1, socket: true}\n", "mesh.socket_and_port", 4, "keep one"),
        ("  a: {command: [a], port: 80}\n  b: {command: [b], port: 80}\n", "mesh.port_twice", 5,
         "services.a.port"),
        ("  a: {command: [a], port: 80, edge: 80}\n", "mesh.port_twice", 4, "80"),
        ("  a: {command: [a], edge: 80}\n", "mesh.listens_nowhere", 4, "socket: true"),
        ("  a: {command: [a], port: 1, health: healthz}\n", "mesh.health", 4, "/healthz"),
        ("  a: {command: [a], port: 1, health: '/x y'}\n", "mesh.health", 4, "/healthz"),
        ("  ledger: {command: [a]}\n  b:\n    command: [b]\n    after: [leger]\n",
         "mesh.unknown_service", 7, "did you mean 'ledger'"),
        ("  a: {command: [a]}\n  b: {command: [b], after: [a, a]}\n", "mesh.duplicate", 5, "'a'"),
        ("  a: {command: [a], after: [a]}\n", "mesh.cycle", 4, "a after a"),
        ("  a: {command: [a], after: [b]}\n  b: {command: [b], after: [a]}\n", "mesh.cycle", None,
         "wait for one another"),
        ("  a: {command: [a], environment: {HTTP_PROXY: x}}\n", "mesh.variable", 4, "meshwarden"),
        ("  a: {command: [a], environment: {1A: x}}\n", "mesh.variable", 4, "1A"),
        ("  a: {command: [a], environment: {A: true}}\n", "mesh.text", 4, "quotes"),
        ('  a: {command: [a], environment: {A: "\\0"}}\n', "mesh.text", 4, "environment.A"),
        ("  a: {command: [a], start_timeout_s: 0}\n", "document.type", 4, "start_timeout_s"),
        ("  {}\n", "mesh.no_services", 4, "at least one"),
    ],
)  # fmt: skip
def test_contradiction_is_refused_with_its_line(
    services: str, code: str, line: int | None, says: str
) -> None:
    with pytest.raises(InputError) as caught:
        parse(services)
    assert caught.value.code == code
    assert says in str(caught.value)
    assert line is None or caught.value.where == f"mesh.yaml:{line}"


@pytest.mark.parametrize("entry", ["'127.0.0.1'", "'localhost:80'", "'127.0.0.1:70000'", "80"])
def test_outside_address_that_is_none_is_refused(entry: str) -> None:
    with pytest.raises(InputError, match=r"outside|document"):
        parse("  a: {command: [a]}\n", outside=f"outside: {{a.example: {entry}}}\n")


def test_outside_host_with_a_port_is_refused() -> None:
    with pytest.raises(InputError, match="host name"):
        parse("  a: {command: [a]}\n", outside="outside: {'a.example:80': '127.0.0.1:80'}\n")


def policy_with(*, edge: bool = False, accepts: tuple[Rule, ...] = ()) -> AccessPolicy:
    identity = SpiffeId.parse("spiffe://bank.example/ledger")
    service = Service(name="ledger", identity=identity, edge=edge, accepts=accepts)
    return AccessPolicy(trust_domain="bank.example", services={"ledger": service})


def test_mesh_that_its_policy_knows_passes() -> None:
    mesh = parse("  ledger: {command: [a], port: 1, edge: 2}\n")
    check_against(mesh, policy_with(edge=True))


def test_service_that_the_policy_does_not_know_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"mesh.yaml:4.*'leger'.*did you mean 'ledger'"):
        check_against(parse("  leger: {command: [a]}\n"), policy_with())


def test_edge_that_the_policy_does_not_grant_is_refused() -> None:
    mesh = parse("  ledger: {command: [a], port: 1, edge: 2}\n")
    with pytest.raises(ConfigError, match="edge: true"):
        check_against(mesh, policy_with())


def test_service_that_others_may_call_has_to_listen() -> None:
    rule = Rule(name="ledger.accepts[0]", sources=())
    with pytest.raises(ConfigError, match="listens nowhere"):
        check_against(parse("  ledger: {command: [a]}\n"), policy_with(accepts=(rule,)))


def test_a_container_takes_the_place_of_a_command() -> None:
    mesh = parse(
        "  pay: {container: {name: pay-1, uid: 65534}, socket: true, health: /healthz}\n"
        "  own: {container: {name: b, uid: 1, engine: run/docker.sock}}\n"
    )
    pay, own = mesh.services.values()
    assert pay.container
    assert own.container
    assert (pay.command, pay.container.name, pay.container.uid) == ((), "pay-1", 65534)
    assert pay.container.engine == Path("/run/podman/podman.sock")
    assert own.container.engine == DIRECTORY / "run/docker.sock"


@pytest.mark.parametrize(
    "service",
    [
        "{container: {name: a, uid: 1}, command: [a]}",
        "{container: {name: a, uid: 1}, port: 80}",
        "{container: {name: a, uid: 0}}",
        "{container: {name: a}}",
        "{container: {name: ../a, uid: 1}}",
        "{container: {name: a, uid: 1, privileged: true}}",
        "{container: a}",
    ],
)
def test_a_container_that_makes_no_sense_is_refused(service: str) -> None:
    with pytest.raises(InputError) as refused:
        parse(f"  a: {service}\n")
    assert refused.value.where.startswith("mesh.yaml:")
