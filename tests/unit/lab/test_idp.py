"""The identity provider, as a customer meets it through the gateway."""

from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import KeySet
from tests.unit.lab.whole_bank import ISSUER, Bank, asked, bearer, proof, redeem, sign_in

from meshwarden.lab.bank.directory import HOME


async def claims_of(client: httpx.AsyncClient, token: str) -> jwt.Token:
    keys = KeySet.import_key_set((await client.get("http://idp/jwks")).json())
    return jwt.decode(token, keys, algorithms=["ES256"])


async def test_login_gives_a_token_that_names_the_customer(
    bank: Bank, client: httpx.AsyncClient
) -> None:
    response = await redeem(client, await sign_in(bank, client))
    tokens = response.json()
    access = await claims_of(client, tokens["access_token"])
    identity = await claims_of(client, tokens["id_token"])
    assert response.headers["cache-control"] == "no-store"
    assert access.header["typ"] == "at+jwt"
    assert access.claims["sub"] == identity.claims["sub"] == bank.ada.id
    assert access.claims["sid"] == identity.claims["sid"]
    assert access.claims["auth_time"] == int(bank.now)
    assert (access.claims["acr"], access.claims["amr"]) == ("pwd", ["pwd"])
    assert identity.claims["nonce"] == "a-nonce"


async def test_second_factor_shows_in_the_token(bank: Bank, client: httpx.AsyncClient) -> None:
    response = await redeem(client, await sign_in(bank, client, otp=True, acr_values="mfa"))
    access = await claims_of(client, response.json()["access_token"])
    assert (access.claims["acr"], access.claims["amr"]) == ("mfa", ["pwd", "otp"])


async def test_discovery_names_what_is_there(client: httpx.AsyncClient) -> None:
    found = (await client.get("http://gateway/idp/.well-known/openid-configuration")).json()
    assert found["issuer"] == ISSUER
    for name in ("authorization_endpoint", "token_endpoint", "userinfo_endpoint", "jwks_uri"):
        page = found[name].removeprefix(ISSUER)
        method = "POST" if page == "/token" else "GET"
        assert (await client.request(method, f"http://gateway/idp{page}")).status_code != 404


async def test_jwks_holds_no_private_part(client: httpx.AsyncClient) -> None:
    (key,) = (await client.get("http://gateway/idp/jwks")).json()["keys"]
    assert "d" not in key


async def test_userinfo_names_the_bearer(bank: Bank, client: httpx.AsyncClient) -> None:
    headers = await bearer(bank, client)
    response = await client.get("http://gateway/idp/userinfo", headers=headers)
    assert response.json() == {"sub": bank.ada.id, "name": bank.ada.name}


async def test_form_carries_the_request_and_escapes_it(client: httpx.AsyncClient) -> None:
    request = asked(state='"><script>')
    response = await client.get("http://gateway/idp/authorize", params=request)
    assert response.status_code == 200
    assert "&quot;&gt;&lt;script&gt;" in response.text
    assert "<script>" not in response.text
    assert "default-src 'none'" in response.headers["content-security-policy"]


@pytest.mark.parametrize(
    "typed",
    [{"password": "wrong"}, {"username": "customer999999"}, {"username": "nobody"}, {"otp": "000"}],
)
async def test_wrong_proof_shows_the_form_again(
    bank: Bank, client: httpx.AsyncClient, typed: dict[str, str]
) -> None:
    form = asked() | proof(bank, bank.ada) | typed
    response = await client.post("http://gateway/idp/authorize", data=form)
    assert response.status_code == 401
    assert bank.ada.password not in response.text


async def test_demanded_second_factor_cannot_be_left_out(
    bank: Bank, client: httpx.AsyncClient
) -> None:
    form = asked(acr_values="mfa") | proof(bank, bank.ada)
    assert (await client.post("http://idp/authorize", data=form)).status_code == 401


async def test_one_time_code_works_once(bank: Bank, client: httpx.AsyncClient) -> None:
    form = asked() | proof(bank, bank.ada, otp=True)
    first = await client.post("http://idp/authorize", data=form)
    again = await client.post("http://idp/authorize", data=form)
    assert (first.status_code, again.status_code) == (302, 401)


async def test_code_is_spent_by_its_first_use(bank: Bank, client: httpx.AsyncClient) -> None:
    code = await sign_in(bank, client)
    assert (await redeem(client, code)).status_code == 200
    assert (await redeem(client, code)).json()["error"] == "invalid_grant"


async def test_code_is_spent_by_a_wrong_verifier(bank: Bank, client: httpx.AsyncClient) -> None:
    code = await sign_in(bank, client)
    wrong = await redeem(client, code, code_verifier="w" * 43)
    assert (wrong.status_code, wrong.json()["error"]) == (400, "invalid_grant")
    assert (await redeem(client, code)).status_code == 400


async def test_code_expires_after_a_minute(bank: Bank, client: httpx.AsyncClient) -> None:
    code = await sign_in(bank, client)
    bank.now += 61
    assert (await redeem(client, code)).json()["error"] == "invalid_grant"


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"grant_type": "password"}, "unsupported_grant_type"),
        ({"client_id": "other"}, "invalid_request"),
        ({"redirect_uri": "https://evil.example/"}, "invalid_request"),
        ({"code": "guess"}, "invalid_grant"),
    ],
)
async def test_token_request_out_of_order_is_refused(
    bank: Bank, client: httpx.AsyncClient, changes: dict[str, str], error: str
) -> None:
    response = await redeem(client, await sign_in(bank, client), **changes)
    assert (response.status_code, response.json()["error"]) == (400, error)


@pytest.mark.parametrize("changes", [{"client_id": "x"}, {"redirect_uri": "https://evil.example"}])
async def test_unknown_application_is_never_redirected_to(
    client: httpx.AsyncClient, changes: dict[str, str]
) -> None:
    response = await client.get("http://idp/authorize", params=asked(**changes))
    assert response.status_code == 400
    assert "location" not in response.headers


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"code_challenge": ""}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"scope": "openid everything"}, "invalid_scope"),
        ({"scope": "accounts:read"}, "invalid_scope"),
    ],
)
async def test_refused_request_goes_back_to_the_application(
    client: httpx.AsyncClient, changes: dict[str, str], error: str
) -> None:
    response = await client.get("http://idp/authorize", params=asked(**changes))
    answer = parse_qs(urlsplit(response.headers["location"]).query)
    assert (answer["error"], answer["state"]) == ([error], ["a-state"])


async def test_field_that_stands_twice_is_refused(client: httpx.AsyncClient) -> None:
    response = await client.post("http://idp/token", content="code=a&code=b")
    assert (response.status_code, response.json()["code"]) == (400, "input.form")


async def test_login_from_another_device_than_the_enrolled_one_is_told(
    bank: Bank, client: httpx.AsyncClient
) -> None:
    await sign_in(bank, client, HOME)
    assert bank.messages == []
    await sign_in(bank, client, 1)
    assert bank.messages == [(bank.ada.id, "other-device")]


async def test_login_goes_on_without_notifications(bank: Bank, client: httpx.AsyncClient) -> None:
    bank.down["notifications"] = httpx.ConnectError("down")
    assert await sign_in(bank, client)
