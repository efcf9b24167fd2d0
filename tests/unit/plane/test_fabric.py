"""A sidecar is told of no callee and no outside host but those that a rule lets its service reach."""

from dataclasses import replace
from pathlib import Path

import pytest

from meshwarden.adapters.envoy.model import Endpoint, Sidecar
from meshwarden.adapters.yaml import parse_document
from meshwarden.control.fabric import (
    closed_to_partners,
    compile_filters,
    plan_border,
    plan_sidecars,
    tcp_destinations,
)
from meshwarden.control.layout import Layout, layout_of
from meshwarden.control.mesh import Mesh, parse_mesh
from meshwarden.policy import AccessPolicy, parse_policy

POLICY = b"""
apiVersion: meshwarden.dev/v1
trust_domain: test.example
services:
  gateway:
    identity: spiffe://test.example/gateway
    edge: true
    egress:
      - {host: fixed.example, port: 443}
      - {host: resolved.example, port: 443}
  ledger:
    identity: spiffe://test.example/ledger
    accepts:
      - {from: [gateway], methods: [GET], paths: [/v1/accounts]}
  database:
    identity: spiffe://test.example/database
    accepts:
      - {from: [ledger], tcp: 5432}
      - {from: [ledger], tcp: 5433}
  batch:
    identity: spiffe://test.example/batch
"""
MESH = b"""
apiVersion: meshwarden.dev/v1
policy: access.yaml
services:
  gateway: {command: [x], port: 9001, edge: 8443}
  ledger: {command: [x], socket: true}
  database: {command: [x], socket: true}
  batch: {command: [x]}
outside: {fixed.example: "192.0.2.7:8443"}
"""


@pytest.fixture
def policy() -> AccessPolicy:
    return parse_policy(parse_document(POLICY, name="access.yaml"))


@pytest.fixture
def mesh(tmp_path: Path) -> Mesh:
    return parse_mesh(parse_document(MESH, name="mesh.yaml"), tmp_path)


@pytest.fixture
def layout(mesh: Mesh) -> Layout:
    return layout_of(mesh, Path("/s"))


@pytest.fixture
def sidecars(policy: AccessPolicy, mesh: Mesh, layout: Layout) -> dict[str, Sidecar]:
    return plan_sidecars(policy, mesh, layout)


def test_callees_are_those_that_a_rule_opens(sidecars: dict[str, Sidecar]) -> None:
    known = {
        name: [(callee.service, callee.port) for callee in sidecar.callees]
        for name, sidecar in sidecars.items()
    }
    assert known == {
        "gateway": [("ledger", None)],
        "ledger": [("database", 5432), ("database", 5433)],
        "database": [],
        "batch": [],
    }
    assert sidecars["gateway"].callees[0].identity == sidecars["ledger"].identity


def test_each_service_listens_as_it_is_called(sidecars: dict[str, Sidecar], layout: Layout) -> None:
    host = layout.host("ledger")
    assert sidecars["ledger"].inbound == Endpoint(address=host, port=15443)
    assert sidecars["ledger"].application == Endpoint(address=str(layout.app_socket("ledger")))
    assert sidecars["gateway"].application == Endpoint(address="127.0.0.1", port=9001)
    assert sidecars["gateway"].edge == Endpoint(address="127.0.0.1", port=8443)
    assert sidecars["ledger"].edge is None
    # Only connections reach the database, and nothing at all the batch, which listens nowhere.
    assert sidecars["database"].inbound is None
    assert [inbound.port for inbound in sidecars["database"].tcp] == [5432, 5433]
    assert sidecars["batch"].inbound is sidecars["batch"].application is None


def test_both_ends_of_a_connection_agree_on_its_ports(
    policy: AccessPolicy, mesh: Mesh, layout: Layout, sidecars: dict[str, Sidecar]
) -> None:
    for callee, inbound in zip(sidecars["ledger"].callees, sidecars["database"].tcp, strict=True):
        assert callee.endpoints == (inbound.listen,)
    told = tcp_destinations(policy, mesh, layout, "ledger")
    assert [(name, port) for name, port, _ in told] == [("database", 5432), ("database", 5433)]
    for (_, _, address), callee in zip(told, sidecars["ledger"].callees, strict=True):
        assert callee.local == Endpoint(address=address.host, port=address.port)
    assert set(compile_filters(policy, "database").tcp) == {5432, 5433}


def test_outside_hosts_are_those_of_egress_with_their_fixed_addresses(
    sidecars: dict[str, Sidecar],
) -> None:
    hosts = {outside.host: outside.address for outside in sidecars["gateway"].outside}
    assert hosts == {
        "fixed.example": Endpoint(address="192.0.2.7", port=8443),
        "resolved.example": None,
    }
    assert sidecars["ledger"].outside == ()


def test_a_rule_more_does_not_move_the_connections_that_a_service_was_told_of(
    mesh: Mesh, layout: Layout, policy: AccessPolicy
) -> None:
    rule = b"""    accepts:
      - {from: [ledger], tcp: 1521}
"""
    more = parse_policy(parse_document(POLICY + rule, name="access.yaml"))
    batch = replace(mesh.services["batch"], port=1521)
    mesh = replace(mesh, services={**mesh.services, "batch": batch})
    before = tcp_destinations(policy, mesh, layout, "ledger")
    after = tcp_destinations(more, mesh, layout, "ledger")
    assert len(after) == 3
    assert set(before) < set(after)


PARTNER = "spiffe://partner.example/shop"


def test_partners_get_into_an_isolated_mesh_where_the_file_says_and_nowhere_else(
    tmp_path: Path,
) -> None:
    text = POLICY.decode().replace("from: [gateway]", f'from: [gateway, "{PARTNER}"]')
    text = text.replace("from: [ledger], tcp: 5432", f'from: [ledger, "{PARTNER}"], tcp: 5432')
    policy = parse_policy(parse_document(text.encode(), name="access.yaml"))
    end = b'ledger: {command: [x], socket: true, partners: [{listen: "192.0.2.7:9443"}]'
    document = MESH.replace(b"ledger: {command: [x], socket: true", end)
    mesh = parse_mesh(parse_document(document, name="mesh.yaml"), tmp_path)
    layout = layout_of(mesh, tmp_path / "s", first_uid=61184)
    sidecars = plan_sidecars(policy, mesh, layout)
    own_end = Endpoint(address=str(layout.partners_socket("ledger", None)))
    assert sidecars["ledger"].federated == own_end
    assert [(tcp.port, tcp.federated) for tcp in sidecars["database"].tcp] == [
        (5432, None), (5433, None),
    ]  # fmt: skip
    ways = {
        (one.listen.address, one.listen.port): one.to for one in plan_border(policy, mesh, layout)
    }
    assert ways["192.0.2.7", 9443] == own_end
    assert closed_to_partners(policy, mesh, layout) == ["database"]
    assert closed_to_partners(policy, mesh, layout_of(mesh, tmp_path / "s")) == []
