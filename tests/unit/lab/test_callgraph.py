"""The call graph, the policy and the mesh document say the same."""

import pytest

from meshwarden.adapters.yaml import load_document, parse_document
from meshwarden.kernel import ConfigError
from meshwarden.lab.callgraph import COURSES, CUSTOMERS, KEYS_HOP, Hop
from meshwarden.lab.mesh import ACCESS_POLICY, CARD_NETWORK_HOST, TOKEN_SERVICE, render_mesh
from meshwarden.policy import HttpRequest, decide, notices, parse_policy

POLICY = parse_policy(load_document(ACCESS_POLICY))
IDENTIFIER = "acc-00000000-0000-4000-8000-000000000001"
# What the bank offers to any OpenID Connect client, though its own app does without.
UNUSED = {("gateway", "idp", "GET", "/.well-known/openid-configuration")}


def all_hops() -> set[Hop]:
    found: set[Hop] = set()
    waiting = [
        KEYS_HOP,
        *(hop for courses in COURSES.values() for course in courses for hop in course),
    ]
    while waiting:
        hop = waiting.pop()
        found.add(hop)
        waiting += hop.causes
    return found


INNER = sorted(
    {
        (hop.source, hop.destination, hop.method, hop.route)
        for hop in all_hops()
        if hop.source != CUSTOMERS and hop.destination in POLICY.services
    }
)


@pytest.mark.parametrize(("source", "destination", "method", "route"), INNER)
def test_policy_allows_each_call_of_the_graph(
    source: str, destination: str, method: str, route: str
) -> None:
    request = HttpRequest(
        source=POLICY.services[source].identity,
        destination=POLICY.services[destination].identity,
        method=method,
        path=route.replace("{}", IDENTIFIER),
    )
    demanded = [rule.token.scopes for rule in POLICY.services[destination].accepts if rule.token]
    scopes = {scope for scopes in demanded for scope in scopes}
    claims = {"scope": " ".join(sorted(scopes)), "req_wl": str(request.source), "acr": "mfa"}
    assert decide(POLICY, request, claims).allowed


def test_policy_allows_no_call_that_the_graph_does_not_make() -> None:
    allowed = {
        (POLICY.name_of(source), service.name, method, path.text.replace("{id}", "{}"))
        for service in POLICY.services.values()
        for rule in service.accepts
        for source in rule.sources
        for method in rule.methods or ()
        for path in rule.paths or ()
    }
    assert allowed - UNUSED == set(INNER)


def test_policy_opens_one_edge_one_database_and_one_host_outside() -> None:
    services = POLICY.services.values()
    assert [service.name for service in services if service.edge] == ["gateway"]
    assert [(s.name, s.tcp_ports) for s in services if s.tcp_ports] == [("ledger-db", (5432,))]
    egress = [(s.name, e.host, e.port) for s in services for e in s.egress]
    assert egress == [("payments", CARD_NETWORK_HOST, 80)]


def test_policy_gives_no_cause_for_a_notice() -> None:
    assert notices(POLICY) == ()


@pytest.mark.parametrize("password", [None, "1e5", "a: b # c"])
def test_mesh_document_names_the_services_of_the_policy(password: str | None) -> None:
    text = render_mesh(
        python="/usr/bin/python3",
        edge_port=8443,
        card_network="127.0.0.1:18443",
        database_password=password,
        database_user=None if password is None else "postgres",
    )
    services = parse_document(text.encode(), name="mesh.yaml").mapping()["services"].mapping()
    missing = POLICY.services.keys() - services.keys() - {TOKEN_SERVICE}
    assert missing == ({"ledger-db"} if password is None else set())
    if password is not None:
        environment = services["ledger"].mapping()["environment"].mapping()
        assert environment["BANK_DATABASE_PASSWORD"].text() == password
        assert services["ledger"].mapping()["after"].texts() == ["ledger-db"]
        assert services["ledger-db"].mapping()["user"].text() == "postgres"


def test_database_user_without_a_password_is_refused() -> None:
    with pytest.raises(ConfigError, match="without a database password"):
        render_mesh(
            python="python", edge_port=1, card_network="127.0.0.1:2", database_user="postgres"
        )
