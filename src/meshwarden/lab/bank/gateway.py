"""The bank's edge: the customers' API, and the identity provider under `/idp`.

Its sidecar lets in whom the token policy says (`edge` in tokens.yaml), and puts a transaction token
in the place of the customer's access token, which never comes here. Inner services get that token,
and learn the customer's id. How surely they proved to be the customer is asked for elsewhere.
"""

from typing import Final

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from meshwarden.lab.bank.fields import path_id
from meshwarden.lab.bank.service import (
    Json,
    ProblemError,
    build_service,
    call,
    outbound_client,
    read_body,
    read_json,
    send,
    serve,
)
from meshwarden.lab.bank.transaction import admitted_customer

_IDP_GET: Final = (".well-known/openid-configuration", "jwks", "authorize", "userinfo")
_IDP_POST: Final = ("authorize", "token")
_TO_IDP: Final = ("content-type", "authorization", "user-agent")
_FROM_IDP: Final = (
    "content-type", "location", "cache-control", "pragma", "www-authenticate",
    "content-security-policy", "x-content-type-options", "referrer-policy",
)  # fmt: skip


class Gateway:
    """The routes, for tokens of `issuer`."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def identity(self, request: Request) -> Response:
        """Relay the identity provider's pages, and no others."""
        path = request.path_params["path"]
        if path not in (_IDP_POST if request.method == "POST" else _IDP_GET):
            raise ProblemError(404, "route.unknown", "no such page")
        asked = self._client.build_request(
            request.method,
            httpx.URL(f"http://idp/{path}", query=request.url.query.encode()),
            content=await read_body(request) if request.method == "POST" else None,
            headers={name: request.headers[name] for name in _TO_IDP if name in request.headers},
        )
        answer = await send(self._client, asked)
        kept = {name: answer.headers[name] for name in _FROM_IDP if name in answer.headers}
        return Response(answer.content, status_code=answer.status_code, headers=kept)

    async def accounts(self, _: Request) -> Response:
        """List the customer's accounts."""
        customer = admitted_customer()
        url = f"http://accounts/v1/customers/{customer}/accounts"
        return JSONResponse(await call(self._client, "GET", url, customer=customer))

    async def balance(self, request: Request) -> Response:
        """Answer an account's balance."""
        return await self._of_account(request, "balance")

    async def statement(self, request: Request) -> Response:
        """Answer an account's newest entries."""
        return await self._of_account(request, "statement")

    async def transfer(self, request: Request) -> Response:
        """Place a transfer."""
        body = _object(await read_json(request))
        return await self._place("http://payments/v1/transfers", body)

    async def card_payment(self, request: Request) -> Response:
        """Place a card payment."""
        body = _object(await read_json(request))
        return await self._place("http://payments/v1/card-payments", body)

    async def credit_application(self, request: Request) -> Response:
        """Place a credit application."""
        body = _object(await read_json(request))
        return await self._place("http://scoring/v1/applications", body)

    async def _of_account(self, request: Request, what: str) -> Response:
        url = f"http://accounts/v1/accounts/{path_id(request, 'acc')}/{what}"
        answer = await call(self._client, "GET", url, customer=admitted_customer())
        return JSONResponse(answer)

    async def _place(self, url: str, body: Json) -> Response:
        customer = admitted_customer()
        answer = await call(self._client, "POST", url, body=body, customer=customer)
        return JSONResponse(answer, status_code=201)


def build_app(client: httpx.AsyncClient) -> Starlette:
    """Return the gateway, for requests that its sidecar let in."""
    routes = Gateway(client)
    return build_service(
        [
            Route("/idp/{path:path}", routes.identity, methods=["GET", "POST"]),
            Route("/v1/accounts", routes.accounts, methods=["GET"]),
            Route("/v1/accounts/{id}/balance", routes.balance, methods=["GET"]),
            Route("/v1/accounts/{id}/statement", routes.statement, methods=["GET"]),
            Route("/v1/transfers", routes.transfer, methods=["POST"]),
            Route("/v1/card-payments", routes.card_payment, methods=["POST"]),
            Route("/v1/credit-applications", routes.credit_application, methods=["POST"]),
        ],
        client=client,
    )


def _object(raw: object) -> Json:
    if not isinstance(raw, dict):
        raise ProblemError(422, "input.invalid", "the body must be a JSON object")
    return raw


if __name__ == "__main__":
    serve(build_app(outbound_client()))
