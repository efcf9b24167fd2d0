"""The whole bank in one process: a client that finds each service by its host name."""

import base64
import hashlib
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
from starlette.applications import Starlette

from meshwarden.lab.bank import (
    accounts,
    aml,
    cardnetwork,
    gateway,
    idp,
    ledger,
    notifications,
    payments,
    scoring,
)
from meshwarden.lab.bank.books import Books
from meshwarden.lab.bank.directory import Customer, Directory, installation
from meshwarden.lab.bank.provider import CLIENT_ID, REDIRECT_URI, SCOPES, Provider
from meshwarden.lab.bank.totp import STEP_S, code_at

ISSUER = "http://bank.test/idp"
VERIFIER = "v" * 43
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest())[:-1].decode()


@dataclass
class Bank(httpx.AsyncBaseTransport):
    """Routes a request to the application of its host; `down` maps hosts to what they fail with."""

    books: Books
    directory: Directory
    now: float = 1_800_000_000.0
    apps: dict[str, Starlette] = field(default_factory=dict)
    down: dict[str, Exception | httpx.Response] = field(default_factory=dict)
    asked: list[tuple[str, str, str]] = field(default_factory=list)

    def start(self, client: httpx.AsyncClient) -> None:
        def now() -> float:
            return self.now

        self.apps = {
            "gateway": gateway.build_app(client),
            "idp": idp.build_app(client, issuer=Provider(ISSUER, self.directory), now=now),
            "accounts": accounts.build_app(client, directory=self.directory),
            "payments": payments.build_app(client),
            "scoring": scoring.build_app(client),
            "aml": aml.build_app(client, now=now),
            "ledger": ledger.build_app(self.books, directory=self.directory, now=now),
            "notifications": notifications.build_app(),
            "api.cardnetwork.example": cardnetwork.build_app(),
        }

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        host = request.url.host
        self.asked.append((host, request.method, request.url.path))
        failure = self.down.get(host)
        if isinstance(failure, Exception):
            raise failure
        if failure is not None:
            return failure
        if host == "gateway" and not request.url.path.startswith("/idp/"):
            let_in(request)
        return await httpx.ASGITransport(self.apps[host]).handle_async_request(request)

    @property
    def ada(self) -> Customer:
        return self.directory.customer(0)

    @property
    def bob(self) -> Customer:
        return self.directory.customer(1)

    @property
    def messages(self) -> list[tuple[str, str]]:
        return list(self.apps["notifications"].state.messages)


def let_in(request: httpx.Request) -> None:
    """Do as the edge's sidecar: a transaction token takes the access token's place."""
    scheme, _, token = request.headers.pop("authorization", "").partition(" ")
    if scheme == "Bearer":
        request.headers["txn-token"] = f"e30.{token.split('.')[1]}.c2ln"


def asked(**changes: str) -> dict[str, str]:
    """Return a proper authorization request, with changes; an empty value leaves a field out."""
    request = {
        "response_type": "code",
        "client_id": CLIENT_ID,
        "redirect_uri": REDIRECT_URI,
        "scope": " ".join(SCOPES),
        "state": "a-state",
        "nonce": "a-nonce",
        "code_challenge": CHALLENGE,
        "code_challenge_method": "S256",
    }
    return {name: value for name, value in (request | changes).items() if value}


def proof(bank: Bank, customer: Customer, *, otp: bool = False) -> dict[str, str]:
    """Return what the customer types in."""
    code = {"otp": code_at(customer.otp_key, int(bank.now) // STEP_S)} if otp else {}
    return {"username": customer.user_name, "password": customer.password, **code}


async def sign_in(
    bank: Bank, client: httpx.AsyncClient, device: int = 1, /, *, otp: bool = False, **changes: str
) -> str:
    """Return the code that Ada's login gives."""
    form = asked(**changes) | proof(bank, bank.ada, otp=otp)
    agent = {"user-agent": f"BankApp/4.2 {installation(bank.ada.number, device)}"}
    response = await client.post("http://gateway/idp/authorize", data=form, headers=agent)
    assert response.status_code == 302, response.text
    return parse_qs(urlsplit(response.headers["location"]).query)["code"][0]


async def redeem(client: httpx.AsyncClient, code: str, /, **changes: str) -> httpx.Response:
    form = {
        "grant_type": "authorization_code",
        "client_id": CLIENT_ID,
        "redirect_uri": REDIRECT_URI,
        "code": code,
        "code_verifier": VERIFIER,
    }
    return await client.post("http://gateway/idp/token", data=form | changes)


async def bearer(
    bank: Bank, client: httpx.AsyncClient, *, otp: bool = False, **changes: str
) -> dict[str, str]:
    """Return the header that carries Ada's access token."""
    response = await redeem(client, await sign_in(bank, client, otp=otp, **changes))
    return {"authorization": f"Bearer {response.json()['access_token']}"}


def transfer(bank: Bank, **changes: Any) -> dict[str, Any]:
    """Return a transfer from Ada to Bob, as the customers' API takes it."""
    return {
        "key": "key-00000001",
        "debit": bank.ada.accounts[0],
        "credit": bank.bob.accounts[0],
        "amount_minor": 12_34,
        "currency": "EUR",
        "beneficiary": bank.bob.name,
    } | changes
