"""The token service of a running mesh, over mutual TLS, through real Envoys."""

import json
import ssl
import warnings
from base64 import urlsafe_b64decode
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from tests.e2e.identity_provider import identity_provider
from tests.e2e.small_mesh import DOMAIN
from tests.e2e.token_mesh import ACCESS, GRANT, TXN, TokenMesh, form, token_mesh

with warnings.catch_warnings():  # of a client library about its own future
    warnings.simplefilter("ignore")
    from authlib.integrations.httpx_client import AsyncOAuth2Client  # type: ignore[import-untyped]

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[TokenMesh]:
    async with (
        identity_provider() as provider,
        token_mesh(tmp_path_factory.mktemp("m"), provider) as running,
    ):
        yield running


def claims_of(token: str) -> dict[str, Any]:
    part = token.split(".")[1]
    found: dict[str, Any] = json.loads(urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return found


async def test_a_standard_client_library_performs_the_exchange(
    world: TokenMesh, tmp_path: Path
) -> None:
    context = world.certificate("front", tmp_path)
    client = AsyncOAuth2Client(
        client_id=f"{DOMAIN}/front",
        token_endpoint_auth_method="none",
        verify=context,
        trust_env=False,
    )
    async with client:
        token = await client.fetch_token(
            f"{world.token_service}/token",
            grant_type=GRANT,
            requested_token_type=TXN,
            audience="test.example",
            scope="items:read",
            subject_token=world.provider.token(),
            subject_token_type=ACCESS,
            request_details='{"item": "7"}',
        )
    assert (token["token_type"], token["issued_token_type"]) == ("N_A", TXN)
    claims = claims_of(token["access_token"])
    assert claims["req_wl"] == f"{DOMAIN}/front"
    assert (claims["aud"], claims["sub"], claims["scope"]) == ("test.example", "8f21", "items:read")
    assert claims["tctx"] == {"item": "7"}


async def test_without_a_certificate_nobody_gets_as_far_as_asking(world: TokenMesh) -> None:
    anyone = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    anyone.check_hostname, anyone.verify_mode = False, ssl.CERT_NONE
    async with httpx.AsyncClient(verify=anyone, trust_env=False) as client:
        with pytest.raises((httpx.HTTPError, ssl.SSLError)):
            await client.post(f"{world.token_service}/token", data=form())


async def test_an_answer_is_never_cached_and_a_forged_certificate_header_changes_nothing(
    world: TokenMesh, tmp_path: Path
) -> None:
    forged = {"x-forwarded-client-cert": f"By=x;URI={DOMAIN}/front"}
    context = world.certificate("stranger", tmp_path)
    async with httpx.AsyncClient(verify=context, trust_env=False) as client:
        data = form(subject_token=world.provider.token())
        answer = await client.post(f"{world.token_service}/token", data=data, headers=forged)
    assert answer.status_code == 400
    assert answer.json()["error"] == "unauthorized_client"
    assert answer.headers["cache-control"] == "no-store"


async def test_a_service_asks_through_its_own_sidecar_and_replaces(world: TokenMesh) -> None:
    first = await world.issued("front")
    second = await world.issued("back", subject_token=first["access_token"], subject_token_type=TXN)
    before, after = claims_of(first["access_token"]), claims_of(second["access_token"])
    assert (after["txn"], after["sub"]) == (before["txn"], before["sub"])
    assert after["req_wl"] == f"{DOMAIN}/back"
    chain = (await world.admin("GET", f"/v1/tokens/transactions/{before['txn']}")).json()["chain"]
    assert [link["requester"] for link in chain] == [f"{DOMAIN}/front", f"{DOMAIN}/back"]
    assert chain[1]["replaced"] == chain[0]["digest"]


async def test_metadata_and_keys(world: TokenMesh) -> None:
    async with world.mesh.client("front") as client:
        document = await client.get("http://token-service/.well-known/oauth-authorization-server")
        keys = await client.get("http://token-service/jwks")
    assert document.json()["grant_types_supported"] == [GRANT]
    [key] = keys.json()["keys"]
    assert set(key) == {"kid", "alg", "use", "kty", "crv", "x", "y"}


async def test_a_new_key_of_the_issuer_is_taken_at_once(world: TokenMesh) -> None:
    await world.issued()
    world.provider.rotate()
    await world.issued(subject_token=world.provider.token())


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"scope": "report:run"}, "unauthorized_client"),
        ({"audience": "bank.example"}, "invalid_target"),
        ({"subject_token": "a.b.c"}, "invalid_request"),
        ({"subject_token_type": "urn:ietf:params:oauth:token-type:refresh_token"}, "invalid_request"),
        ({"grant_type": "password"}, "unsupported_grant_type"),
        ({"request_context": "eyJhIjoxfQ"}, "invalid_request"),
    ],
)  # fmt: skip
async def test_refusals(world: TokenMesh, changes: dict[str, str], error: str) -> None:
    changes = {"subject_token": world.provider.token()} | changes
    answer = await world.ask("front", **changes)
    assert (answer.status_code, answer.json()["error"]) == (400, error)


async def test_too_little_assurance_is_said_with_what_would_suffice(world: TokenMesh) -> None:
    weak = world.provider.token(acr="pwd")
    answer = await world.ask("front", subject_token=weak, scope="transfer:write")
    assert answer.json()["error"] == "insufficient_user_authentication"
    assert (answer.json()["acr_values"], answer.json()["max_age"]) == ("mfa", "900")


async def test_a_revoked_session_gets_no_token_and_every_hop_is_told(world: TokenMesh) -> None:
    token = world.provider.token(sid="stolen")
    hashed = claims_of((await world.issued(subject_token=token))["access_token"])["sid"]
    answer = await world.admin("POST", "/v1/tokens/revoke", {"kind": "session", "value": hashed})
    found = answer.json()
    assert (found["pending"], found["recorded"]) == ([], True)
    assert found["enforced_ms"] < 1000
    refused = await world.ask("front", subject_token=token)
    assert refused.json()["error"] == "invalid_request"
    assert "revoked" in refused.json()["error_description"]
    await world.issued()


async def test_no_token_and_no_raw_session_is_in_any_file_or_log(world: TokenMesh) -> None:
    outside = world.provider.token(sid="raw-session-78")
    first = await world.issued(subject_token=outside)
    await world.ask("front", subject_token=outside, scope="report:run")
    secrets = [*outside.split(".")[1:], *first["access_token"].split(".")[1:], "raw-session-78"]
    said = "\n".join(world.mesh.lines)
    for path in world.mesh.layout.state.rglob("*"):
        if path.is_file() and path.suffix != ".sock":
            said += path.read_bytes().decode("latin-1")
    assert not [one for one in secrets if one in said]
