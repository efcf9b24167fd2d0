"""The bank's edge: the customers' API, and the identity provider under `/idp`.

An API request needs an access token of the bank's identity provider with the scope of that route.
That token stays here; inner services get a transaction token for this one request, and learn the
customer's id. A large transfer needs a login with a second factor (RFC 9470). The identity
provider's keys are fetched when first needed, kept for five minutes, and fetched again for an
unknown key, at most every five seconds.
"""

import asyncio
import re
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Final

import httpx
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from meshwarden.lab.bank.access_token import (
    TokenError,
    VerifiedToken,
    bearer_token,
    verify_access_token,
)
from meshwarden.lab.bank.fields import path_id
from meshwarden.lab.bank.rules import KEYS_LIFE_S, STEP_UP_MINOR
from meshwarden.lab.bank.service import (
    Json,
    ProblemError,
    build_service,
    call,
    now_s,
    outbound_client,
    read_body,
    read_json,
    send,
    serve,
    setting,
)
from meshwarden.lab.bank.transaction import TRUST_DOMAIN, Transactions
from meshwarden.propagate import handling

_KEYS_PAUSE_S: Final = 5
_IDP_GET: Final = (".well-known/openid-configuration", "jwks", "authorize", "userinfo")
_IDP_POST: Final = ("authorize", "token")
_TO_IDP: Final = ("content-type", "authorization", "user-agent")
_FROM_IDP: Final = (
    "content-type", "location", "cache-control", "pragma", "www-authenticate",
    "content-security-policy", "x-content-type-options", "referrer-policy",
)  # fmt: skip
_INSTALLATION: Final = re.compile(r"d[0-9]{6}-[0-9]$")  # what the bank's app calls itself
_DETAILS: Final[tuple[str, ...]] = ("amount_minor", "credit", "currency")


class Keys:
    """The identity provider's public keys, fetched by one request at a time."""

    def __init__(self, client: httpx.AsyncClient, monotonic: Callable[[], float]) -> None:
        self._client = client
        self._monotonic = monotonic
        self._lock = asyncio.Lock()
        self._fetched_s = float("-inf")
        self._keys: KeySet | None = None

    async def get(self, *, renew: bool = False) -> KeySet:
        """Return the keys, at most KEYS_LIFE_S old, or _KEYS_PAUSE_S where `renew`; Problem."""
        async with self._lock:
            age_s = self._monotonic() - self._fetched_s
            if self._keys is None or age_s > (_KEYS_PAUSE_S if renew else KEYS_LIFE_S):
                found = await call(self._client, "GET", "http://idp/jwks")
                try:
                    self._keys = KeySet.import_key_set(found)  # type: ignore[arg-type]
                except (JoseError, KeyError, TypeError, ValueError) as error:
                    raise ProblemError(502, "upstream.protocol", "idp answered no keys") from error
                self._fetched_s = self._monotonic()
            return self._keys


class Gateway:
    """The routes, for tokens of `issuer`."""

    def __init__(
        self, client: httpx.AsyncClient, issuer: str, keys: Keys, now: Callable[[], float],
        transactions: Transactions,
    ) -> None:  # fmt: skip
        self._client = client
        self._issuer = issuer
        self._keys = keys
        self._now = now
        self._transactions = transactions

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

    async def accounts(self, request: Request) -> Response:
        """List the customer's accounts."""
        token = await self._authenticate(request, "accounts:read")
        url = f"http://accounts/v1/customers/{token.subject}/accounts"
        with await self._begin(request, "accounts:read"):
            return JSONResponse(await call(self._client, "GET", url, customer=token.subject))

    async def balance(self, request: Request) -> Response:
        """Answer an account's balance."""
        return await self._of_account(request, "balance")

    async def statement(self, request: Request) -> Response:
        """Answer an account's newest entries."""
        return await self._of_account(request, "statement")

    async def transfer(self, request: Request) -> Response:
        """Place a transfer; a large one needs a second factor."""
        token = await self._authenticate(request, "transfer:write")
        body = _object(await read_json(request))
        _demand_second_factor(token, body)
        with await self._begin(request, "transfer:write ledger:post", body):
            return await self._place("http://payments/v1/transfers", token, body)

    async def card_payment(self, request: Request) -> Response:
        """Place a card payment."""
        token = await self._authenticate(request, "card:write")
        body = _object(await read_json(request))
        with await self._begin(request, "card:write ledger:post", body):
            return await self._place("http://payments/v1/card-payments", token, body)

    async def credit_application(self, request: Request) -> Response:
        """Place a credit application."""
        token = await self._authenticate(request, "credit:apply")
        body = _object(await read_json(request))
        with await self._begin(request, "credit:apply ledger:post", body):
            return await self._place("http://scoring/v1/applications", token, body)

    async def _of_account(self, request: Request, what: str) -> Response:
        token = await self._authenticate(request, "accounts:read")
        url = f"http://accounts/v1/accounts/{path_id(request, 'acc')}/{what}"
        with await self._begin(request, "accounts:read"):
            return JSONResponse(await call(self._client, "GET", url, customer=token.subject))

    async def _place(self, url: str, token: VerifiedToken, body: Json) -> Response:
        answer = await call(self._client, "POST", url, body=body, customer=token.subject)
        return JSONResponse(answer, status_code=201)

    async def _begin(
        self, request: Request, scope: str, body: Json | None = None
    ) -> AbstractContextManager[None]:
        """Begin a transaction for the request: what is called within carries its token."""
        agent = request.headers.get("user-agent", "")[:512]
        context = {
            "req_ip": request.headers.get("x-forwarded-for", "").rpartition(",")[2].strip(),
            "user_agent": agent,
            "client_hints": found[0] if (found := _INSTALLATION.search(agent)) else "",
        }
        details: Json = {name: body[name] for name in _DETAILS if body and name in body}
        token = await self._transactions.exchange(
            bearer_token(request), scope, context=context, details=details
        )
        return handling(token)

    async def _authenticate(self, request: Request, scope: str) -> VerifiedToken:
        try:
            token = await self._verify(bearer_token(request))
        except TokenError as error:
            raise _challenge(401, "token.invalid", str(error), error="invalid_token") from error
        if scope not in token.scopes:
            raise _challenge(
                403, "token.scope", f"scope {scope} is needed", error="insufficient_scope"
            )
        return token

    async def _verify(self, raw_token: str) -> VerifiedToken:
        keys = await self._keys.get()
        try:
            return verify_access_token(raw_token, keys=keys, issuer=self._issuer, at_s=self._now())
        except TokenError as error:
            if not error.unknown_key:
                raise
        keys = await self._keys.get(renew=True)
        return verify_access_token(raw_token, keys=keys, issuer=self._issuer, at_s=self._now())


def build_app(
    client: httpx.AsyncClient,
    *,
    issuer: str,
    tokens: str = "",
    now: Callable[[], float] = now_s,
    monotonic: Callable[[], float] = time.monotonic,
) -> Starlette:
    """Return the gateway for access tokens of `issuer`; `tokens` is the token service's URL."""
    transactions = Transactions(client, tokens, audience=TRUST_DOMAIN)
    routes = Gateway(client, issuer, Keys(client, monotonic), now, transactions)
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


def _demand_second_factor(token: VerifiedToken, body: Json) -> None:
    amount = body.get("amount_minor")
    if isinstance(amount, int) and amount >= STEP_UP_MINOR and token.acr != "mfa":
        raise _challenge(
            401,
            "token.assurance",
            "this amount needs a login with a second factor",
            error="insufficient_user_authentication",
            acr_values="mfa",
        )


def _challenge(status: int, code: str, detail: str, **parameters: str) -> ProblemError:
    """Return a refusal with its RFC 6750 (and RFC 9470) challenge."""
    named = ", ".join(f'{name}="{value}"' for name, value in parameters.items())
    headers = {"www-authenticate": f"Bearer {named}".strip()}
    return ProblemError(status, code, detail, headers=headers)


def _object(raw: object) -> Json:
    if not isinstance(raw, dict):
        raise ProblemError(422, "input.invalid", "the body must be a JSON object")
    return raw


if __name__ == "__main__":
    serve(
        build_app(
            outbound_client(),
            issuer=setting("BANK_ISSUER", "http://127.0.0.1:8080/idp"),
            tokens=setting("BANK_TOKENS", ""),
        )
    )
