"""Refusals deep inside, and who waits to hear of them."""

import asyncio
from typing import Any

import pytest

from meshwarden.adapters.yaml import parse_document
from meshwarden.control.tokens.inside import (
    MAX_KEPT,
    Demand,
    Demands,
    asked_of,
    demanded_assurance,
)
from meshwarden.kernel import SpiffeId
from meshwarden.policy import parse_policy

MFA = Demand(acr_values=("mfa",))
POLICY = parse_policy(
    parse_document(
        b"""\
apiVersion: meshwarden.dev/v1
trust_domain: test.example
services:
  front: {identity: "spiffe://test.example/front"}
  back:
    identity: spiffe://test.example/back
    accepts:
      - {from: [front], paths: [/strong], token: {scopes: [a], acr: mfa}}
      - {from: [front], paths: [/stronger], token: {scopes: [a], acr: key}}
      - {from: [front], paths: [/bound], token: {acr: mfa, bound: true}}
""",
        name="access.yaml",
    )
)
BACK = SpiffeId.parse("spiffe://test.example/back")
LEVELS = ("pwd", "mfa", "key")


async def test_who_waits_is_told_at_once_and_who_comes_later_need_not_wait() -> None:
    demands = Demands()
    waiting = [asyncio.create_task(demands.wait("t", 30)) for _ in range(2)]
    await asyncio.sleep(0)
    demands.hear("t", MFA)
    assert await asyncio.gather(*waiting) == [MFA, MFA]
    assert await demands.wait("t", 0) == MFA


async def test_nobody_waits_longer_than_said() -> None:
    demands = Demands()
    assert await demands.wait("t", 0.01) is None
    assert not demands._waiting


async def test_who_leaves_takes_nobody_along() -> None:
    demands = Demands()
    stays, leaves = (asyncio.create_task(demands.wait("t", 30)) for _ in range(2))
    await asyncio.sleep(0)
    leaves.cancel()
    await asyncio.wait([leaves])
    demands.hear("t", MFA)
    assert await stays == MFA


async def test_a_flood_of_refusals_is_bounded() -> None:
    demands = Demands()
    for number in range(MAX_KEPT + 10):
        demands.hear(str(number), MFA)
    assert len(demands._found) == MAX_KEPT
    assert await demands.wait("0", 0) is None
    assert await demands.wait(str(MAX_KEPT), 0) == MFA


@pytest.mark.parametrize(
    ("path", "claims", "wanted"),
    [
        ("/strong", {"scope": "a", "acr": "pwd"}, "mfa"),
        ("/strong", {"scope": "a"}, "mfa"),
        ("/strong?x=1", {"scope": "a", "acr": "pwd"}, "mfa"),
        ("/stronger", {"scope": "a", "acr": "mfa"}, "key"),
        ("/strong", {"scope": "b", "acr": "pwd"}, None),  # a stronger login would not help
        ("/strong", {"scope": "a", "acr": "mfa"}, None),  # refused by something else
        ("/bound", {"acr": "pwd", "req_wl": "spiffe://test.example/x"}, None),
        ("/nowhere", {"scope": "a", "acr": "pwd"}, None),
        ("//", {"scope": "a", "acr": "pwd"}, None),
        ("", {"scope": 7, "acr": []}, None),
    ],
)
def test_only_what_a_stronger_login_would_have_avoided_is_a_demand(
    path: str, claims: dict[str, Any], wanted: str | None
) -> None:
    asked = asked_of("spiffe://test.example/front", BACK, "GET", path)
    assert asked is not None
    assert demanded_assurance(POLICY, asked, claims, LEVELS) == wanted


@pytest.mark.parametrize("source", ["", "front", "https://front", "spiffe://TEST/front"])
def test_a_caller_without_a_name_demands_nothing(source: str) -> None:
    assert asked_of(source, BACK, "GET", "/strong") is None
