"""The gateway behind its sidecar: whom it serves, and what of the inside it lets out."""

import httpx
import pytest
from tests.unit.lab.whole_bank import Bank, bearer


async def test_customer_sees_own_accounts_balance_and_statement(
    bank: Bank, client: httpx.AsyncClient
) -> None:
    headers = await bearer(bank, client)
    listed = (await client.get("http://gateway/v1/accounts", headers=headers)).json()["accounts"]
    assert [entry["account"] for entry in listed] == list(bank.ada.accounts)
    account = f"http://gateway/v1/accounts/{bank.ada.accounts[0]}"
    balance = (await client.get(f"{account}/balance", headers=headers)).json()
    statement = (await client.get(f"{account}/statement", headers=headers)).json()
    assert balance["balance_minor"] == sum(row["amount_minor"] for row in statement["entries"])


async def test_another_customers_account_does_not_exist(
    bank: Bank, client: httpx.AsyncClient
) -> None:
    url = f"http://gateway/v1/accounts/{bank.bob.accounts[0]}/balance"
    response = await client.get(url, headers=await bearer(bank, client))
    assert (response.status_code, response.json()["code"]) == (404, "accounts.unknown")


async def test_what_the_sidecar_did_not_let_in_is_challenged(client: httpx.AsyncClient) -> None:
    for method, path in (("GET", "/v1/accounts"), ("POST", "/v1/card-payments")):
        response = await client.request(method, f"http://gateway{path}", json={})
        assert (response.status_code, response.json()["code"]) == (401, "token.missing")
        assert response.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize("path", ["healthz", "v1/anything", "authorize/x", "../v1/report"])
async def test_only_known_pages_of_the_identity_provider_are_relayed(
    bank: Bank, client: httpx.AsyncClient, path: str
) -> None:
    response = await client.get(f"http://gateway/idp/{path}")
    assert response.status_code == 404
    assert all(host == "gateway" for host, _, _ in bank.asked)


@pytest.mark.parametrize(
    ("failure", "status", "code"),
    [
        (httpx.ConnectError("x"), 503, "upstream.unavailable"),
        (httpx.ReadTimeout("x"), 504, "upstream.timeout"),
        (httpx.RemoteProtocolError("x"), 502, "upstream.protocol"),
        (httpx.Response(200, text="no json"), 502, "upstream.protocol"),
        (httpx.Response(200, json=[]), 502, "upstream.protocol"),
        (httpx.Response(500, text="Traceback: secret"), 502, "upstream.failed"),
        (httpx.Response(403, text="RBAC: access denied"), 502, "upstream.failed"),
        (httpx.Response(503), 503, "upstream.failed"),
        (httpx.Response(404, text="no json"), 502, "upstream.protocol"),
    ],
)
async def test_failure_inside_is_a_clear_problem_outside(
    bank: Bank,
    client: httpx.AsyncClient,
    failure: Exception | httpx.Response,
    status: int,
    code: str,
) -> None:
    headers = await bearer(bank, client)
    bank.down["accounts"] = failure
    response = await client.get("http://gateway/v1/accounts", headers=headers)
    assert (response.status_code, response.json()["code"]) == (status, code)
    assert "secret" not in response.text


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"{", 400), (b"[]", 422), (b"\xff", 400), (b"[" * 9000, 400), (b" " * 20_000, 413)],
)
async def test_body_that_is_no_order_is_refused(
    bank: Bank, client: httpx.AsyncClient, body: bytes, status: int
) -> None:
    headers = await bearer(bank, client)
    response = await client.post("http://gateway/v1/transfers", content=body, headers=headers)
    assert response.status_code == status
    assert ("payments", "POST", "/v1/transfers") not in bank.asked
