"""The transaction that a request belongs to: for whom it is, and a token of it in one's own name.

Where the bank runs without a token service (BANK_TOKENS is empty) nobody asks for another token.
"""

import base64
import json
from typing import Final

import httpx

from meshwarden.lab.bank.service import ProblemError, send
from meshwarden.propagate import current_token

GRANT: Final = "urn:ietf:params:oauth:grant-type:token-exchange"
_TYPE: Final = "urn:ietf:params:oauth:token-type:"
TRUST_DOMAIN: Final = "bank.example"


class Transactions:
    """Asks the token service at `url` for tokens; with an empty one for none."""

    def __init__(self, client: httpx.AsyncClient, url: str, *, audience: str) -> None:
        self._client = client
        self._url = url
        self._audience = audience

    async def replace(self, token: str | None, scope: str) -> str | None:
        """Return a token of the same transaction in the caller's own name; ProblemError."""
        if token is None:
            return None
        return await self._ask(token, scope)

    async def _ask(self, subject_token: str, scope: str) -> str | None:
        if not self._url:
            return None
        form = {
            "grant_type": GRANT,
            "requested_token_type": f"{_TYPE}txn_token",
            "audience": self._audience,
            "scope": scope,
            "subject_token": subject_token,
            "subject_token_type": f"{_TYPE}txn_token",
        }
        request = self._client.build_request("POST", f"{self._url}/token", data=form)
        answer = await send(self._client, request)
        try:
            return str(answer.raise_for_status().json()["access_token"])
        except (httpx.HTTPStatusError, ValueError, KeyError, TypeError) as error:
            raise ProblemError(
                503, "token.unavailable", "no transaction token could be had"
            ) from error


def admitted_customer() -> str:
    """Return for whom the request is that is handled now; ProblemError 401 where it has no token.

    The token was put there by the edge's sidecar, which takes any other away: it is not verified
    again.
    """
    token = current_token()
    if token is None:
        raise ProblemError(
            401, "token.missing", "nobody let this in", headers={"www-authenticate": "Bearer"}
        )
    raw = token.split(".")[1]
    return str(json.loads(base64.urlsafe_b64decode(raw + "=" * (-len(raw) % 4)))["sub"])
