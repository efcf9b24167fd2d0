"""Plays the customer model against a running bank: real logins, tokens, devices, money.

Open loop: an action starts when the model says, whether or not earlier ones have been answered;
only a session's own login is waited for, and never more than `concurrency` are under way. `speed`
compresses the model's time. A business refusal (a sanctioned payee) is `refused`; anything that a
customer would call broken is `failed`.
"""

import asyncio
import secrets
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final

import httpx

from meshwarden.lab.bank.cardnetwork import CLOSED_MERCHANT
from meshwarden.lab.bank.directory import CURRENCY, MERCHANTS, SANCTIONED, Customer, Directory
from meshwarden.lab.bank.service import now_s
from meshwarden.lab.bank.totp import STEP_S, code_at
from meshwarden.lab.customers import Action, CustomerModel, Kind
from meshwarden.lab.sign_in import FailedError, device_headers, expect, sign_in

_REFUSALS: Final = frozenset({409, 422})
_SESSIONS_KEPT: Final = 10_000
_REASONS: Final = 20


@dataclass(slots=True)
class Counts:
    """What became of the actions of one kind."""

    sent: int = 0
    ok: int = 0
    refused: int = 0
    failed: int = 0


@dataclass(slots=True)
class LoadReport:
    """What a run did so far.

    Attributes:
        kinds: counts by kind of action.
        requests: HTTP requests sent to the edge; a login takes four.
        skipped: actions not sent: their session's login had failed, or no one-time code was left.
        late_s: the most that an action started after its time.
        failures: how often what failed, and why; the first `_REASONS` kinds of it.
    """

    kinds: dict[Kind, Counts] = field(default_factory=lambda: {kind: Counts() for kind in Kind})
    requests: int = 0
    skipped: int = 0
    late_s: float = 0.0
    failures: Counter[str] = field(default_factory=Counter)

    @property
    def total(self) -> Counts:
        """The sum over all kinds."""
        counts = self.kinds.values()
        return Counts(
            sent=sum(c.sent for c in counts),
            ok=sum(c.ok for c in counts),
            refused=sum(c.refused for c in counts),
            failed=sum(c.failed for c in counts),
        )


class Load:
    """One run against the edge at `base_url`; `report` is up to date at any moment."""

    def __init__(
        self,
        base_url: str,
        *,
        model: CustomerModel,
        directory: Directory,
        concurrency: int = 64,
        now: Callable[[], float] = now_s,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.report = LoadReport()
        self._model = model
        self._directory = directory
        self._slots = asyncio.Semaphore(concurrency)
        self._now = now
        self._client = httpx.AsyncClient(
            base_url=base_url,
            timeout=40.0,
            trust_env=False,
            transport=transport,
            limits=httpx.Limits(max_connections=concurrency, max_keepalive_connections=concurrency),
        )
        self._sessions: OrderedDict[int, asyncio.Future[str | None]] = OrderedDict()
        self._steps: dict[int, int] = {}

    async def run(
        self,
        actions: Iterable[Action],
        *,
        speed: float = 1.0,
        seconds: float | None = None,
        count: int | None = None,
    ) -> LoadReport:
        """Play the actions and return the report, when all that were sent are answered.

        Args:
            actions: earliest first, as the model's timeline gives them.
            speed: model seconds per second.
            seconds: stop sending after so long.
            count: stop sending after so many actions.
        """
        clock = asyncio.get_running_loop().time
        begin = clock()
        end = begin + seconds if seconds is not None else float("inf")
        async with self._client, asyncio.TaskGroup() as tasks:
            for number, action in enumerate(actions):
                due = begin + action.at_s / speed
                if due >= end or (count is not None and number >= count):
                    break
                await asyncio.sleep(max(0.0, due - clock()))
                await self._slots.acquire()
                if clock() >= end:
                    self._slots.release()
                    break
                self.report.late_s = max(self.report.late_s, clock() - due)
                tasks.create_task(self._play(action))
        return self.report

    async def _play(self, action: Action) -> None:
        """Carry out one action and count what became of it."""
        counts = self.report.kinds[action.kind]
        try:
            step = await self._prepare(action)
            if step is None:
                self.report.skipped += 1
                return
            counts.sent += 1
            response = await step
            if response.status_code in _REFUSALS:
                counts.refused += 1
            else:
                expect(response, 200, 201)
                counts.ok += 1
        except (FailedError, httpx.HTTPError) as error:
            counts.failed += 1
            self._failed(action, error)
        finally:
            self._slots.release()

    def _failed(self, action: Action, error: Exception) -> None:
        failures = self.report.failures
        reason = str(error) if isinstance(error, FailedError) else type(error).__name__
        reason = f"{action.kind.name.lower()}: {reason}"
        if reason in failures or len(failures) < _REASONS:
            failures[reason] += 1

    async def _prepare(self, action: Action) -> Awaitable[httpx.Response] | None:
        """Return what sends the action; None where its session has no login to build on."""
        if action.kind is not Kind.LOGIN:
            login = self._sessions.get(action.session)
            token = None if login is None else await asyncio.shield(login)
            return None if token is None else self._ask(action, token)
        customer = self._directory.customer(action.customer)
        one_time_code = self._one_time_code(customer) if action.second_factor else ""
        return None if one_time_code is None else self._login(action, customer, one_time_code)

    def _one_time_code(self, customer: Customer) -> str | None:
        """Return a code that was not used before; None where compressed time has used them up.

        The identity provider accepts a code once, and no more than one step ahead of its clock.
        """
        now = int(self._now()) // STEP_S
        step = max(self._steps.get(customer.number, 0) + 1, now)
        if step > now + 1:
            return None
        self._steps[customer.number] = step
        return code_at(customer.otp_key, step)

    async def _login(
        self, action: Action, customer: Customer, one_time_code: str
    ) -> httpx.Response:
        done: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
        self._sessions[action.session] = done
        if len(self._sessions) > _SESSIONS_KEPT:
            self._sessions.popitem(last=False)
        token = None
        try:
            response = await self._sign_in(action, customer, one_time_code)
            token = str(response.json()["access_token"])
            return await self._get(action, "/idp/userinfo", token)
        finally:
            done.set_result(token)

    async def _sign_in(
        self, action: Action, customer: Customer, one_time_code: str
    ) -> httpx.Response:
        async def send(method: str, path: str, data: dict[str, str] | None) -> httpx.Response:
            return await self._send(action, method, path, data=data)

        second = one_time_code if action.second_factor else None
        return await sign_in(send, customer, second_factor=second)

    async def _ask(self, action: Action, token: str) -> httpx.Response:
        account = self._directory.account_id(action.customer, action.account)
        if action.kind is Kind.ACCOUNTS:
            return await self._get(action, "/v1/accounts", token)
        if action.kind is Kind.BALANCE:
            return await self._get(action, f"/v1/accounts/{account}/balance", token)
        if action.kind is Kind.STATEMENT:
            return await self._get(action, f"/v1/accounts/{account}/statement", token)
        path, body = self._order(action, account)
        body["key"] = secrets.token_urlsafe(16)
        return await self._send(action, "POST", path, token=token, json=body)

    def _order(self, action: Action, account: str) -> tuple[str, dict[str, Any]]:
        """Return path and body of an action that moves money or asks for it."""
        if action.kind is Kind.CREDIT:
            return "/v1/credit-applications", {
                "account": account,
                "amount_minor": action.amount_minor,
                "months": action.months,
                "income_minor": action.income_minor,
            }
        money = {"debit": account, "amount_minor": action.amount_minor, "currency": CURRENCY}
        if action.kind is Kind.CARD_PAYMENT:
            merchant = MERCHANTS[action.payee % len(MERCHANTS)]
            return "/v1/card-payments", money | {
                "merchant": CLOSED_MERCHANT if action.marked else merchant
            }
        payee = self._directory.customer(action.payee)
        listed = SANCTIONED[action.payee % len(SANCTIONED)]
        return "/v1/transfers", money | {
            "credit": payee.accounts[action.payee_account],
            "beneficiary": listed if action.marked else payee.name,
        }

    async def _get(self, action: Action, path: str, token: str) -> httpx.Response:
        return await self._send(action, "GET", path, token=token)

    async def _send(
        self, action: Action, method: str, path: str, *, token: str | None = None,
        data: dict[str, str] | None = None, json: dict[str, Any] | None = None,
    ) -> httpx.Response:  # fmt: skip
        self.report.requests += 1
        headers = device_headers(self._model.user_agent(action.customer, action.device))
        if token is not None:
            headers["authorization"] = f"Bearer {token}"
        return await self._client.request(method, path, headers=headers, data=data, json=json)
