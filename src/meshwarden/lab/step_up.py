"""On whose behalf, live: a customer's known device, a stolen session, a new device, a revocation.

1. The customer uses the bank from the device that it knows, and places a transfer.
2. Somebody has the session and tries the same from a machine of his own: the risk asks for a second
   factor (RFC 9470), which he does not have.
3. The customer gets a new device: challenged as well, proves to be the customer, is let through.
4. From the known device, a large transfer with a password alone: the edge has nothing against it,
   but a service deep inside refuses it (the ledger's rule demands a second factor). The refusal
   comes back to the edge as a challenge; with the second factor the same transfer is booked.
5. The customer is revoked: the session, good until then, is refused.

Everything goes through the bank's edge, as the customers' own requests do.
"""

import asyncio
import re
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import httpx

from meshwarden.lab.bank.directory import CURRENCY, HOME, Customer, Directory
from meshwarden.lab.bank.rules import STEP_UP_MINOR
from meshwarden.lab.bank.totp import STEP_S, code_at
from meshwarden.lab.customers import CustomerModel
from meshwarden.lab.sign_in import FailedError, device_headers, expect, sign_in

WITHIN_S: Final = 10.0
_HABITS: Final = 12
"""Sessions from the known device before: so much is known of the customer then."""

_SMALL, _LARGE = 20_00, 900_00  # minor units; both below what always needs a second factor
_HUGE: Final = STEP_UP_MINOR
_INSIDE: Final = "inside.step_up"
_THIEF: Final = "curl/8.5.0"
_NEW_DEVICE: Final = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
_ACR: Final = re.compile(r'acr_values="([^"]*)"')


@dataclass(frozen=True, slots=True, kw_only=True)
class StepUp:
    """What the edge answered.

    Attributes:
        known: status of the transfer from the known device.
        stolen: status of one with the stolen session.
        challenge: the assurance asked for at the new device; None: nothing was.
        proven: status of the same transfer after the second factor.
        inside: the assurance that a service deep inside asked for; None: none did.
        inside_proven: status of that transfer after the second factor.
        revoked_ms: milliseconds from the revocation until the session was refused; None: never.
    """

    known: int
    stolen: int
    challenge: str | None
    proven: int
    inside: str | None
    inside_proven: int
    revoked_ms: float | None

    @property
    def passed(self) -> bool:
        """Whether each was answered as it must be."""
        asked = self.stolen == 401 and (self.challenge, self.inside) == ("mfa", "mfa")
        booked = (self.known, self.proven, self.inside_proven) == (201, 201, 201)
        return asked and booked and self.revoked_ms is not None


NOTHING: Final = StepUp(
    known=0, stolen=0, challenge=None, proven=0, inside=None, inside_proven=0, revoked_ms=None
)


@dataclass(frozen=True, slots=True)
class _Device:
    """One device at the edge."""

    client: httpx.AsyncClient
    user_agent: str

    async def send(
        self, method: str, path: str, data: dict[str, str] | None = None, *,
        token: str | None = None, json: dict[str, object] | None = None,
    ) -> httpx.Response:  # fmt: skip
        headers = device_headers(self.user_agent)
        if token is not None:
            headers["authorization"] = f"Bearer {token}"
        return await self.client.request(method, path, data=data, json=json, headers=headers)

    async def sign_in(self, customer: Customer, *, second_factor: str | None = None) -> str:
        answer = await sign_in(self.send, customer, second_factor=second_factor)
        return str(answer.json()["access_token"])

    async def read(self, token: str, account: str) -> httpx.Response:
        return await self.send("GET", f"/v1/accounts/{account}/balance", token=token)

    async def transfer(
        self, token: str, customer: Customer, payee: Customer, amount_minor: int
    ) -> httpx.Response:
        order: dict[str, object] = {
            "key": secrets.token_urlsafe(16), "debit": customer.accounts[0],
            "credit": payee.accounts[0], "amount_minor": amount_minor, "currency": CURRENCY,
            "beneficiary": payee.name,
        }  # fmt: skip
        return await self.send("POST", "/v1/transfers", token=token, json=order)


async def show(
    edge: str,
    model: CustomerModel,
    directory: Directory,
    number: int,
    revoke: Callable[[str], Awaitable[object]],
) -> StepUp:
    """Play the five scenes; where the bank does not answer as it should, that is the outcome.

    Args:
        edge: the bank's base URL.
        model: whose devices are known.
        directory: who the customers are.
        number: of the customer; nobody else may act for him, a one-time code is good once.
        revoke: revokes a subject, at the control plane.
    """
    customer = directory.customer(number)
    async with httpx.AsyncClient(base_url=edge, timeout=40, trust_env=False) as client:
        try:
            return await _played(client, model, directory, customer, revoke)
        except (FailedError, httpx.HTTPError):
            return NOTHING


async def _played(
    client: httpx.AsyncClient,
    model: CustomerModel,
    directory: Directory,
    customer: Customer,
    revoke: Callable[[str], Awaitable[object]],
) -> StepUp:
    friend, stranger = (
        directory.customer((customer.number + step) % directory.count) for step in (1, 2)
    )
    home = _Device(client, model.user_agent(customer.number, HOME))
    session = ""
    for _ in range(_HABITS):
        session = await home.sign_in(customer)
        expect(await home.read(session, customer.accounts[0]), 200)
    known = await home.transfer(session, customer, friend, _SMALL)
    stolen = await _Device(client, _THIEF).transfer(session, customer, stranger, _LARGE)
    device = _Device(client, _NEW_DEVICE)
    second = await device.sign_in(customer)
    asked = await device.transfer(second, customer, stranger, _LARGE)
    strong = await device.sign_in(customer, second_factor=_code(customer))
    proven = await device.transfer(strong, customer, stranger, _LARGE)
    deep = await home.transfer(session, customer, friend, _HUGE)
    surer = await home.sign_in(customer, second_factor=_code(customer, later=1))
    booked = await home.transfer(surer, customer, friend, _HUGE)
    return StepUp(
        known=known.status_code,
        stolen=stolen.status_code,
        challenge=_challenge(asked),
        proven=proven.status_code,
        inside=_challenge(deep) if deep.json().get("code") == _INSIDE else None,
        inside_proven=booked.status_code,
        revoked_ms=await _revoked(home, session, customer, revoke),
    )


async def _revoked(
    device: _Device,
    session: str,
    customer: Customer,
    revoke: Callable[[str], Awaitable[object]],
) -> float | None:
    """Return after how many milliseconds the session was refused; None where it never was."""
    loop = asyncio.get_running_loop()
    start = loop.time()
    revoking = asyncio.ensure_future(revoke(customer.id))
    found = None
    while found is None and loop.time() < start + WITHIN_S:
        if (await device.read(session, customer.accounts[0])).status_code == 401:
            found = (loop.time() - start) * 1000
    await revoking
    return found


def _code(customer: Customer, *, later: int = 0) -> str:
    """Return a one-time code of the customer's; each is good once, the next one already now."""
    step = int(time.time()) // STEP_S  # noqa: TID251  # his device's clock
    return code_at(customer.otp_key, step + later)


def _challenge(answer: httpx.Response) -> str | None:
    match = _ACR.search(answer.headers.get("www-authenticate", ""))
    return match[1] if match and answer.status_code == 401 else None
