"""How a customer signs in: authorization code with PKCE, as the bank's app does it."""

import base64
import hashlib
import re
import secrets
from collections.abc import Awaitable, Callable
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx

from meshwarden.lab.bank import provider
from meshwarden.lab.bank.directory import Customer

Send = Callable[[str, str, dict[str, str] | None], Awaitable[httpx.Response]]
"""Sends method, path and form of one device to the edge."""


_INSTALLATION = re.compile(r"d[0-9]{6}-[0-9]")


def device_headers(user_agent: str) -> dict[str, str]:
    """Return what a device sends with each request: the bank's app names its installation, too."""
    last = user_agent.rpartition(" ")[2]
    named = {"x-installation": last} if _INSTALLATION.fullmatch(last) else {}
    return {"user-agent": user_agent, **named}


class FailedError(Exception):
    """The bank did not answer as a customer may expect."""


async def sign_in(send: Send, customer: Customer, *, second_factor: str | None) -> httpx.Response:
    """Return the token response; FailedError where there is none.

    Args:
        send: from which device.
        customer: who.
        second_factor: a one-time code; None to sign in with the password alone.
    """
    verifier = secrets.token_urlsafe(32)
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest())
    asked = {
        "response_type": "code",
        "client_id": provider.CLIENT_ID,
        "redirect_uri": provider.REDIRECT_URI,
        "scope": " ".join(provider.SCOPES),
        "state": secrets.token_urlsafe(16),
        "nonce": secrets.token_urlsafe(16),
        "code_challenge": challenge.rstrip(b"=").decode(),
        "code_challenge_method": "S256",
    }
    proof = {"username": customer.user_name, "password": customer.password}
    if second_factor is not None:
        asked["acr_values"] = provider.MFA
        proof["otp"] = second_factor
    expect(await send("GET", f"/idp/authorize?{urlencode(asked)}", None), 200)
    signed_in = await send("POST", "/idp/authorize", asked | proof)
    expect(signed_in, 302)
    answer = parse_qs(urlsplit(signed_in.headers["location"]).query)
    if answer.get("state") != [asked["state"]] or "code" not in answer:
        raise FailedError("the login answered no code for this state")
    redeem = {
        "grant_type": "authorization_code",
        "client_id": provider.CLIENT_ID,
        "redirect_uri": provider.REDIRECT_URI,
        "code": answer["code"][0],
        "code_verifier": verifier,
    }
    tokens = await send("POST", "/idp/token", redeem)
    expect(tokens, 200)
    return tokens


def expect(response: httpx.Response, *statuses: int) -> None:
    """Raise FailedError where the answer has another status."""
    if response.status_code not in statuses:
        raise FailedError(f"{response.status_code} {_code(response)}")


def _code(response: httpx.Response) -> str:
    """Return the code of a problem or the error of a grant, never what else stands in the body."""
    try:
        found = response.json()
    except ValueError:
        return "without a reason"
    if not isinstance(found, dict):
        return "without a reason"
    return str(found.get("code") or found.get("error") or "without a reason")[:60]
