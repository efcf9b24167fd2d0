"""One spelling for every party."""

import pytest

from meshwarden.adapters.sources.parties import (
    address_party,
    cilium_party,
    host_of_network,
    host_party,
    named,
    pod_owner,
    principal,
)
from meshwarden.adapters.sources.pods import workload_of_pod

LEDGER = "spiffe://bank.example/ns/core/sa/ledger"


@pytest.mark.parametrize(
    ("text", "identity"),
    [
        (LEDGER, LEDGER),
        ("SPIFFE://bank.example/ns/core/sa/ledger", LEDGER),
        ("bank.example/ns/core/sa/ledger", LEDGER),
        ("ledger.core.serviceaccount.identity.linkerd.bank.example", LEDGER),
        ("ledger.core.serviceaccount.identity.l5d-system.bank.example", LEDGER),
        ("-", None), ("", None), (None, None), ("ledger", None), (f"{LEDGER},{LEDGER}", None),
        ("spiffe://bank.example", None), ("spiffe://bank.example/../x", None),
        ("https://bank.example/ns/core/sa/ledger", None), ("bank.example/ns/core/sa/\x1b", None),
    ],
)  # fmt: skip
def test_principals(text: str | None, identity: str | None) -> None:
    assert principal(text) == identity


@pytest.mark.parametrize(
    ("pod", "workload"),
    [
        ("ledger-6d4b75cb6d-x7k2p", "ledger"),
        ("api-gateway-7c9f8d7b5-2bxkz", "api-gateway"),
        ("ledger-db-0", "ledger-db"),
        ("node-agent-x7k2p", "node-agent"),
        ("nightly-report-28412345-q8zvn", "nightly-report"),
        ("api-gateway", "api-gateway"),
        ("front-proxy", "front-proxy"),
        ("a-0", "a"),
        ("-0", "-0"),
        ("", ""),
    ],
)
def test_pods_lose_what_was_generated(pod: str, workload: str) -> None:
    assert workload_of_pod(pod) == workload


@pytest.mark.parametrize(
    ("host", "party"),
    [
        ("reviews.shop.svc.cluster.local", "spiffe://cluster.local/ns/shop/workload/reviews"),
        ("reviews.shop.svc", "spiffe://cluster.local/ns/shop/workload/reviews"),
        ("API.Example.com.", "external:api.example.com"),
        ("ledger", "spiffe://cluster.local/ledger"),
        ("10.0.0.1", "unknown"),
        ("8.8.8.8", "external:8.8.8.8"),
        ("2001:4860:4860::8888", "external:2001:4860:4860::8888"),
        ("evil host", "unknown"), ("\x1b[2J", "unknown"), ("", "unknown"), (None, "unknown"),
    ],
)  # fmt: skip
def test_hosts(host: str | None, party: str) -> None:
    assert host_party(host) == party


def test_addresses() -> None:
    assert address_party("::ffff:8.8.8.8") == "external:8.8.8.8"
    assert address_party("::ffff:10.0.0.1") == "unknown"
    assert host_of_network("10.0.0.1") == "spiffe://imported.invalid/10.0.0.1"
    assert host_of_network("8.8.8.8", local=True) == "spiffe://imported.invalid/8.8.8.8"
    assert host_of_network("10.0.0.1", local=False) == "external:10.0.0.1"


def test_labels() -> None:
    namespace = "k8s:io.kubernetes.pod.namespace=core"
    account = "k8s:io.cilium.k8s.policy.serviceaccount=ledger"
    assert cilium_party([namespace, account]) == "spiffe://cluster.local/ns/core/sa/ledger"
    assert cilium_party(["reserved:world"], host="a.example") == "external:a.example"
    assert cilium_party(["reserved:world"], host="\x1b") == "unknown"
    assert cilium_party(["reserved:host"]) == "spiffe://cluster.local/reserved/host"
    assert cilium_party([namespace, 7, None]) is None


def test_pod_owner_and_free_names() -> None:
    assert pod_owner("core", "ledger-0") == "spiffe://cluster.local/ns/core/workload/ledger"
    assert named("pay ments", "mesh.example") == "spiffe://mesh.example/pay_20ments"
    assert named("//") is None
