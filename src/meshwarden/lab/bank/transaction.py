"""The bank's requests to the token service: an exchange at the edge, a replacement inside.

Where the bank runs without a token service (BANK_TOKENS is empty) its services work without tokens.
"""

import json
from typing import Any, Final

import httpx

from meshwarden.lab.bank.service import ProblemError, send

GRANT: Final = "urn:ietf:params:oauth:grant-type:token-exchange"
_TYPE: Final = "urn:ietf:params:oauth:token-type:"
_WANTED: Final[tuple[str, ...]] = ("acr_values", "max_age")
TRUST_DOMAIN: Final = "bank.example"
_STEP_UP: Final = "insufficient_user_authentication"


class Transactions:
    """Asks the token service at `url` for tokens; with an empty one for none."""

    def __init__(self, client: httpx.AsyncClient, url: str, *, audience: str) -> None:
        self._client = client
        self._url = url
        self._audience = audience

    async def exchange(
        self, access_token: str, scope: str, *, context: dict[str, str], details: dict[str, Any]
    ) -> str | None:
        """Return a token for what a customer asks for; ProblemError with the challenge to it."""
        return await self._ask("access_token", access_token, scope, context, details)

    async def replace(self, token: str | None, scope: str) -> str | None:
        """Return a token of the same transaction in the caller's own name; ProblemError."""
        if token is None:
            return None
        return await self._ask("txn_token", token, scope, {}, {})

    async def _ask(
        self, kind: str, subject_token: str, scope: str,
        context: dict[str, str], details: dict[str, Any],
    ) -> str | None:  # fmt: skip
        if not self._url:
            return None
        form = {
            "grant_type": GRANT,
            "requested_token_type": f"{_TYPE}txn_token",
            "audience": self._audience,
            "scope": scope,
            "subject_token": subject_token,
            "subject_token_type": f"{_TYPE}{kind}",
            "request_context": json.dumps(context),
            "request_details": json.dumps(details),
        }
        request = self._client.build_request("POST", f"{self._url}/token", data=form)
        answer = await send(self._client, request)
        found = _object(answer)
        if answer.status_code == 200:
            return str(found.get("access_token", ""))
        raise _refusal(found)


def _object(answer: httpx.Response) -> dict[str, Any]:
    try:
        found = answer.json()
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise ProblemError(502, "upstream.protocol", "the token service answered no JSON object")
    return found


def _refusal(found: dict[str, Any]) -> ProblemError:
    """Return what the customer is told: prove yourself (RFC 9470), log in again, or no."""
    error = found.get("error")
    if error == _STEP_UP:
        named: dict[str, Any] = {name: value for name, value in found.items() if name in _WANTED}
        return _challenge(
            "token.assurance", "this needs a login with a second factor", error, named
        )
    if error == "invalid_request":
        return _challenge("token.invalid", "the token is not taken", "invalid_token", {})
    if error == "access_denied":
        return ProblemError(403, "risk.denied", "this request is too unlike the customer")
    return ProblemError(503, "token.unavailable", "no transaction token could be had")


def _challenge(code: str, detail: str, error: str, named: dict[str, Any]) -> ProblemError:
    parameters = ", ".join(f'{k}="{v}"' for k, v in ({"error": error} | named).items())
    return ProblemError(401, code, detail, headers={"www-authenticate": f"Bearer {parameters}"})
