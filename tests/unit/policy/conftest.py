"""The policy that the tests of this folder ask."""

import pytest

from meshwarden.adapters.yaml import parse_document
from meshwarden.policy import AccessPolicy, parse_policy

BANK = """apiVersion: meshwarden.dev/v1
trust_domain: bank.example
services:
  gateway: {identity: spiffe://bank.example/gateway}
  statements: {identity: spiffe://bank.example/statements}
  payments:
    identity: spiffe://bank.example/payments
    accepts:
      - {from: [gateway], methods: [POST], paths: [/v1/transfers],
         token: {scopes: ["transfer:write", "ledger:read"], acr: mfa, bound: true}}
  ledger:
    identity: spiffe://bank.example/ledger
    accepts:
      - {from: [payments], methods: [POST], paths: [/v1/entries]}
      - {from: [payments, statements], methods: [GET], paths: ["/v1/accounts/{id}", "/v1/reports/**"]}
      - {from: ["spiffe://partner.example/auditor"]}
  ledger-db:
    identity: spiffe://bank.example/ledger-db
    accepts:
      - {from: [ledger], tcp: 5432}
"""


@pytest.fixture
def bank() -> AccessPolicy:
    return parse_policy(parse_document(BANK.encode(), name="access.yaml"))
