"""The identity provider's HTTP face: discovery, keys, the login form, tokens, userinfo.

Customers reach it through the gateway under `/idp`. The form keeps no state: it carries the
application's request along. A login from any other device than the enrolled one is told to the
customer.
"""

import html
import logging
from collections.abc import Callable
from typing import Final
from urllib.parse import parse_qsl, urlencode

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from meshwarden.lab.bank import provider
from meshwarden.lab.bank.access_token import TokenError, bearer_token
from meshwarden.lab.bank.directory import Directory
from meshwarden.lab.bank.provider import GrantError, Login, Provider
from meshwarden.lab.bank.service import (
    ProblemError,
    build_service,
    call,
    now_s,
    outbound_client,
    read_body,
    serve,
    setting,
)

_NO_STORE: Final = {"cache-control": "no-store", "pragma": "no-cache"}
_FORM_HEADERS: Final = _NO_STORE | {
    "content-security-policy": "default-src 'none'; form-action 'self'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
}
_CARRIED: Final[tuple[str, ...]] = (
    "response_type", "client_id", "redirect_uri", "scope", "state", "nonce", "acr_values",
    "code_challenge", "code_challenge_method",
)  # fmt: skip
_FORM: Final = """<!doctype html><html lang="en"><title>Sign in</title>
<h1>Sign in to your bank</h1><p>{message}</p>
<form method="post">{hidden}
<label>User name <input name="username" autocomplete="username" required></label>
<label>Password <input name="password" type="password" required></label>
<label>One-time code <input name="otp" inputmode="numeric" autocomplete="one-time-code"></label>
<button>Sign in</button></form></html>
"""
_log = logging.getLogger(__name__)


class IdentityProvider:
    """The routes over `issuer`."""

    def __init__(
        self, client: httpx.AsyncClient, issuer: Provider, now: Callable[[], float]
    ) -> None:
        self._client = client
        self._issuer = issuer
        self._now = now

    async def discovery(self, _: Request) -> Response:
        """Answer what this issuer offers and where."""
        return JSONResponse(provider.metadata(self._issuer.issuer))

    async def jwks(self, _: Request) -> Response:
        """Answer the public keys."""
        return JSONResponse(self._issuer.jwks(), headers={"cache-control": "max-age=300"})

    async def form(self, request: Request) -> Response:
        """Answer the login form for an application's request."""
        return _authorize(dict(request.query_params), lambda asked, _: _form(asked))

    async def submitted(self, request: Request) -> Response:
        """Take the filled form; answer with a code, or the form again."""
        sent = await _form_fields(request)
        device = request.headers.get("user-agent", "")[:300]
        logins: list[Login] = []

        def decide(asked: dict[str, str], proven: provider.AuthorizationRequest) -> Response:
            login = self._issuer.login(
                proven,
                user_name=sent.get("username", "")[:64],
                password=sent.get("password", "")[:256],
                otp=sent.get("otp", "")[:16],
                device=device,
                at_s=self._now(),
            )
            if login is None:
                return _form(asked, message="User name, password or code is wrong.", status=401)
            logins.append(login)
            return _redirect(asked, {"code": login.code, "iss": self._issuer.issuer})

        response = _authorize(sent, decide)
        for login in logins:
            if login.elsewhere:
                await self._tell(login.customer.id)
        return response

    async def token(self, request: Request) -> Response:
        """Redeem a code."""
        sent = await _form_fields(request)
        try:
            provider.parse_token_request(sent)
            answer = self._issuer.redeem(
                code=sent.get("code", ""),
                verifier=sent.get("code_verifier", ""),
                at_s=self._now(),
            )
        except GrantError as error:
            return _grant_error(error)
        return JSONResponse(answer, headers=_NO_STORE)

    async def userinfo(self, request: Request) -> Response:
        """Answer who the bearer of an access token is."""
        try:
            raw_token = bearer_token(request)
            claims = self._issuer.userinfo(raw_token, at_s=self._now())
        except TokenError as error:
            challenge = {"www-authenticate": 'Bearer error="invalid_token"'}
            raise ProblemError(401, "token.invalid", str(error), headers=challenge) from error
        return JSONResponse(claims, headers=_NO_STORE)

    async def _tell(self, customer: str) -> None:
        message = {"customer": customer, "template": "other-device"}
        try:
            await call(self._client, "POST", "http://notifications/v1/messages", body=message)
        except ProblemError as problem:
            _log.warning("message not sent: %s", problem.code)


def build_app(
    client: httpx.AsyncClient, *, issuer: Provider, now: Callable[[], float] = now_s
) -> Starlette:
    """Return the identity provider's service over `issuer`."""
    routes = IdentityProvider(client, issuer, now)
    return build_service(
        [
            Route("/.well-known/openid-configuration", routes.discovery, methods=["GET"]),
            Route("/jwks", routes.jwks, methods=["GET"]),
            Route("/authorize", routes.form, methods=["GET"]),
            Route("/authorize", routes.submitted, methods=["POST"]),
            Route("/token", routes.token, methods=["POST"]),
            Route("/userinfo", routes.userinfo, methods=["GET"]),
        ],
        client=client,
    )


Decide = Callable[[dict[str, str], provider.AuthorizationRequest], Response]


def _authorize(unverified: dict[str, str], decide: Decide) -> Response:
    """Return what `decide` answers to a proper request; a refusal goes to the application."""
    asked = {name: unverified[name] for name in _CARRIED if name in unverified}
    try:
        provider.parse_client(asked)
    except GrantError as error:
        return _grant_error(error)  # never redirect to an address that nobody registered
    try:
        return decide(asked, provider.parse_authorization(asked))
    except GrantError as error:
        return _redirect(asked, {"error": error.error, "error_description": error.description})


def _redirect(asked: dict[str, str], answer: dict[str, str]) -> Response:
    query = urlencode(answer | {"state": asked.get("state", "")})
    target = f"{provider.REDIRECT_URI}?{query}"
    return RedirectResponse(target, status_code=302, headers=_NO_STORE)


def _form(asked: dict[str, str], *, message: str = "", status: int = 200) -> Response:
    hidden = "".join(
        f'<input type="hidden" name="{name}" value="{html.escape(value)}">'
        for name, value in asked.items()
    )
    page = _FORM.format(message=message, hidden=hidden)
    return HTMLResponse(page, status_code=status, headers=_FORM_HEADERS)


def _grant_error(error: GrantError) -> Response:
    answer = {"error": error.error, "error_description": error.description}
    return JSONResponse(answer, status_code=400, headers=_NO_STORE)


async def _form_fields(request: Request) -> dict[str, str]:
    """Return the form's fields; ProblemError 400 where it is no form or a field stands twice."""
    try:
        pairs = parse_qsl(
            (await read_body(request)).decode("ascii"), strict_parsing=True, max_num_fields=32
        )
    except ValueError as error:
        raise ProblemError(400, "input.form", "the body is no form") from error
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ProblemError(400, "input.form", "a field stands twice")
    return fields


if __name__ == "__main__":
    serve(
        build_app(
            outbound_client(),
            issuer=Provider(
                setting("BANK_ISSUER", "http://127.0.0.1:8080/idp"),
                Directory(
                    setting("BANK_SEED", "meshwarden"), int(setting("BANK_CUSTOMERS", "500"))
                ),
            ),
        )
    )
