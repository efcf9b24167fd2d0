"""Transaction tokens at a hop: verified in the sidecar, demanded by rules, recorded, revocable."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio
from tests.e2e.identity_provider import identity_provider
from tests.e2e.small_mesh import eventually
from tests.e2e.test_token_exchange import claims_of
from tests.e2e.token_mesh import TXN, TokenMesh, token_mesh

from meshwarden.policy.targets.envoy.token_headers import HEADERS

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]
RULES = """\
      - from: [front, stranger]
        methods: [GET]
        paths: ["/v1/secrets/{id}"]
        token: {scopes: [items:read]}
      - from: [front, stranger]
        methods: [GET]
        paths: ["/v1/vaults/{id}"]
        token: {scopes: [items:read], bound: true}
      - from: [front]
        methods: [POST]
        paths: [/v1/transfers]
        token: {scopes: [transfer:write], acr: mfa}
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[TokenMesh]:
    async with (
        identity_provider() as provider,
        token_mesh(tmp_path_factory.mktemp("h"), provider, rules=RULES) as running,
    ):
        yield running


async def call(
    world: TokenMesh, path: str, token: str | None, *, by: str = "front", method: str = "GET"
) -> httpx.Response:
    headers = {} if token is None else {"Txn-Token": token}
    async with world.mesh.client(by) as client:
        return await client.request(method, f"http://back{path}", headers=headers)


async def issued(world: TokenMesh, **changes: Any) -> str:
    found: str = (await world.issued(**changes))["access_token"]
    return found


async def test_a_rule_that_demands_a_token_takes_one_and_the_service_gets_it(
    world: TokenMesh,
) -> None:
    token = await issued(world)
    assert (await call(world, "/v1/secrets/1", None)).status_code == 403
    answer = await call(world, "/v1/secrets/1", token)
    assert answer.status_code == 200
    assert {name.lower(): value for name, value in answer.json()["headers"].items()}[
        "txn-token"
    ] == token
    assert (await call(world, "/v1/ping", None)).status_code == 200


async def test_scope_and_assurance_are_the_rules(world: TokenMesh) -> None:
    read = await issued(world)
    assert (await call(world, "/v1/transfers", read, method="POST")).status_code == 403
    strong = world.provider.token(acr="mfa")
    pays = await issued(world, subject_token=strong, scope="transfer:write")
    assert (await call(world, "/v1/transfers", pays, method="POST")).status_code == 200


async def test_a_wrong_token_is_refused_even_where_none_is_needed(world: TokenMesh) -> None:
    token = await issued(world)
    for wrong in (
        token[:-4] + "AAAA", "x", world.provider.token(), f"{token}, {token}", token * 20,
    ):  # fmt: skip
        assert (await call(world, "/v1/ping", wrong)).status_code == 401


async def test_what_became_of_tokens_is_counted_for_prometheus(world: TokenMesh) -> None:
    await issued(world)
    assert (await call(world, "/v1/ping", "x")).status_code == 401
    assert await world.mesh.rows(rule="token", denied=True)
    lines = (await world.mesh.api("GET", "/metrics")).text.splitlines()
    counted = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    assert int(counted['meshwarden_token_requests_total{outcome="issued"}']) > 0
    assert int(counted['meshwarden_calls_refused_total{by="token"}']) > 0
    assert counted['meshwarden_incidents{state="open"}'] == "0"


async def test_two_tokens_are_none(world: TokenMesh) -> None:
    token, other = await issued(world), await issued(world)
    headers = [("Txn-Token", token), ("Txn-Token", other)]
    async with world.mesh.client("front") as client:
        answer = await client.get("http://back/v1/secrets/1", headers=headers)
    assert answer.status_code == 403
    assert await world.mesh.rows(rule="containment:several-tokens", denied=True)


async def test_what_a_caller_writes_where_claims_are_handed_on_counts_for_nothing(
    world: TokenMesh,
) -> None:
    forged = {
        HEADERS["scope"]: "items:read transfer:write", HEADERS["acr"]: "mfa",
        HEADERS["req_wl"]: world.mesh.identity("front"), HEADERS["txn"]: "t-forged",
        HEADERS["sub"]: "u", HEADERS["sid"]: "s",
    }  # fmt: skip
    read = await issued(world)
    async with world.mesh.client("front") as client:
        for path in ("/v1/secrets/1", "/v1/vaults/1"):
            assert (await client.get(f"http://back{path}", headers=forged)).status_code == 403
        doubled = [*forged.items(), *((name.upper(), value) for name, value in forged.items())]
        held = [("Txn-Token", read), *doubled]
        url = "http://back/v1/transfers"
        assert (await client.post(url, headers=held)).status_code == 403
        answer = await client.get("http://back/v1/secrets/1", headers=held)
        assert (await client.get("http://back/v1/ping", headers=forged)).status_code == 200
    assert answer.status_code == 200
    got = {name.lower() for name in answer.json()["headers"]}
    assert not got & set(HEADERS.values())
    assert not await world.mesh.rows(transaction="t-forged")


async def test_a_stolen_token_is_worthless_where_it_must_be_bound(world: TokenMesh) -> None:
    token = await issued(world)
    assert (await call(world, "/v1/vaults/1", token)).status_code == 200
    assert (await call(world, "/v1/vaults/1", token, by="stranger")).status_code == 403
    assert (await call(world, "/v1/secrets/1", token, by="stranger")).status_code == 200


async def test_the_record_names_the_transaction(world: TokenMesh) -> None:
    token = await issued(world, subject_token=world.provider.token(sid="raw-session-5"))
    await call(world, "/v1/secrets/71", token)
    claims = claims_of(token)

    async def _recorded() -> bool:
        return bool(await world.mesh.rows(transaction=claims["txn"]))

    await eventually(_recorded, what="the call with its transaction")
    [row] = await world.mesh.rows(transaction=claims["txn"])
    assert (row["source"], row["denied"]) == (world.mesh.identity("front"), False)


@pytest.mark.parametrize("kind", ["session", "subject", "transaction"])
async def test_what_is_revoked_is_refused_at_the_hop_on_an_open_connection(
    world: TokenMesh, kind: str
) -> None:
    subject = f"revoked-by-{kind}"
    outside = world.provider.token(sub=subject, sid=f"session-{kind}")
    token, innocent = await issued(world, subject_token=outside), await issued(world)
    claim = {"session": "sid", "subject": "sub", "transaction": "txn"}[kind]
    headers = {"Txn-Token": token}
    async with world.mesh.client("front") as client:
        assert (await client.get("http://back/v1/secrets/1", headers=headers)).status_code == 200
        value = claims_of(token)[claim]
        done = await world.admin("POST", "/v1/tokens/revoke", {"kind": kind, "value": value})
        assert done.json()["pending"] == []
        assert done.json()["enforced_ms"] < 1000
        refused = await client.get("http://back/v1/secrets/1", headers=headers)
        assert refused.status_code == 403
        headers = {"Txn-Token": innocent}
        assert (await client.get("http://back/v1/secrets/1", headers=headers)).status_code == 200
    rule = f"containment:{kind}"
    assert await world.mesh.rows(rule=rule, denied=True)


async def test_keys_rotate_under_load_and_no_valid_token_is_refused(world: TokenMesh) -> None:
    async with world.mesh.client("front") as client:
        token, stop, statuses = await issued(world), asyncio.Event(), set()

        async def _load() -> None:
            nonlocal token
            while not stop.is_set():
                headers = {"Txn-Token": token}
                answer = await client.get("http://back/v1/secrets/1", headers=headers)
                statuses.add(answer.status_code)

        load = asyncio.create_task(_load())
        before = {key["kid"] for key in await keys(world)}
        assert (await world.admin("POST", "/v1/tokens/rotate")).status_code == 200
        assert before < {key["kid"] for key in await keys(world)}
        token = await issued(world)
        begun = time.monotonic()
        await eventually(lambda: _later(begun), what="some load after the rotation")
        stop.set()
        await load
    assert statuses == {200}


async def test_tokens_of_a_withdrawn_key_are_refused(world: TokenMesh) -> None:
    token = await issued(world)
    [kid] = {key["kid"] for key in await keys(world) if key["status"] == "signing"}
    await world.admin("POST", "/v1/tokens/rotate", {"withdraw": kid})

    async def _refused() -> bool:
        return (await call(world, "/v1/secrets/1", token)).status_code == 401

    await eventually(_refused, what="the withdrawn key's token refused")
    assert (await call(world, "/v1/secrets/1", await issued(world))).status_code == 200


async def test_a_replacement_is_bound_to_whoever_asked_for_it(world: TokenMesh) -> None:
    first = await issued(world)
    second = await world.issued("back", subject_token=first, subject_token_type=TXN)
    assert (await call(world, "/v1/vaults/1", second["access_token"])).status_code == 403


async def test_nobody_gets_a_token_in_its_own_name_for_one_that_it_cannot_have_been_handed(
    world: TokenMesh,
) -> None:
    token = await issued(world)
    stolen = await world.ask("stranger", subject_token=token, subject_token_type=TXN)
    assert (stolen.status_code, stolen.json()["error"]) == (400, "invalid_request")
    assert "never handed" in stolen.json()["error_description"]
    await eventually(
        lambda: _told(world, {claims_of(token)["txn"]}), what="a finding about the stranger"
    )
    outcomes = (await world.admin("GET", "/v1/tokens")).json()["outcomes"]
    assert outcomes["exchange.never_handed"] == 1


async def test_who_presents_a_token_that_it_never_received_is_found_also_where_it_is_refused(
    world: TokenMesh,
) -> None:
    stolen = set()
    for path, answered in (("/v1/secrets/2", 200), ("/v1/vaults/2", 403)):
        token = await issued(world)
        assert (await call(world, path, token)).status_code == 200
        assert (await call(world, path, token, by="stranger")).status_code == answered
        stolen.add(claims_of(token)["txn"])

    what = "a finding about the stranger each, and no other"
    await eventually(lambda: _told(world, stolen), what=what)


async def _told(world: TokenMesh, stolen: set[str]) -> bool:
    """Return whether the stranger, and nobody else, was found with each stolen token."""
    findings = world.mesh.layout.findings
    if not await asyncio.to_thread(findings.exists):
        return False  # written with the first finding
    text = await asyncio.to_thread(findings.read_text)
    found = [json.loads(line) for line in text.splitlines()]
    about = [one for one in found if stolen & set(one["evidence"])]
    return [(one["code"], one["subject"]) for one in about] == [
        ("tokens.presented_elsewhere", world.mesh.identity("stranger"))
    ] * len(stolen)


async def keys(world: TokenMesh) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await world.admin("GET", "/v1/tokens")).json()["keys"]
    return found


async def _later(begun: float) -> bool:
    return time.monotonic() - begun > 0.5
