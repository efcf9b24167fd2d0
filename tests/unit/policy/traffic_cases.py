"""A small policy, and recorded calls about it, for the tests of what calls teach."""

from meshwarden.adapters.yaml import parse_document
from meshwarden.kernel import Call
from meshwarden.kernel.call import calls_to_table
from meshwarden.policy import AccessPolicy, parse_policy
from meshwarden.policy.traffic import Observed, Traffic

DOMAIN = "spiffe://bank.example/"
DAY_NS = 86_400_000_000_000
START_NS = 20_000 * DAY_NS
POLICY = """apiVersion: meshwarden.dev/v1
trust_domain: bank.example
services:
  gateway: {identity: spiffe://bank.example/gateway}
  payments:
    identity: spiffe://bank.example/payments
    egress:
      - {host: cards.example, port: 443}
  ledger:
    identity: spiffe://bank.example/ledger
    accepts:
      - {from: [gateway, payments], methods: [GET, POST], paths: ["/v1/accounts/{id}", "/v1/reports/**"]}
      - {from: [payments], methods: [PUT], paths: [/v1/accounts/7/limit]}
      - {from: [payments], methods: [DELETE], paths: ["/v1/accounts/{id}"], token: {scopes: [close]}}
      - {from: [payments], tcp: 5432}
"""


def policy_of(text: str = POLICY) -> AccessPolicy:
    return parse_policy(parse_document(text.encode(), name="access.yaml"))


def call(
    route: str | None = "/v1/accounts/{}",
    method: str | None = "GET",
    *,
    source: str = "gateway",
    destination: str = "ledger",
    at: int = 0,
    denied: bool = False,
    rule: str | None = None,
    mtls: bool | None = True,
    tcp: int | None = None,
    transaction: str | None = None,
) -> Call:
    """Return a call on day `at`; names without a colon are services."""
    return Call(
        time=START_NS + at * DAY_NS,
        source=source if ":" in source or source == "unknown" else DOMAIN + source,
        destination=destination if ":" in destination else DOMAIN + destination,
        protocol="tcp" if tcp else "http",
        method=None if tcp else method,
        route=None if tcp else route,
        destination_port=tcp,
        denied=denied,
        rule=rule,
        mtls=mtls,
        transaction=transaction,
        reporter="destination",
    )


def observed(*calls: Call) -> list[Observed]:
    traffic = Traffic()
    traffic.add(calls_to_table(calls))
    return traffic.observed()
