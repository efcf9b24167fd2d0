"""The bank's customers as a seeded model: who does what, when, from which device.

Each customer has a rate of sessions (gamma over the population), one to three devices of which one
is home, and a few habitual payees. Sessions are a Poisson process whose rate follows the hour of
the day and the day of the week; a session logs in, lists the accounts, and goes on with think times
in between (lognormal). The same seed, start and span give the same actions.

Pure: values only. `load` plays the actions against a running bank, `synthesize` writes the calls
that they would cause. Money never runs out: opening balances outlast a simulated year.
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from enum import IntEnum
from typing import Final

import numpy as np
import numpy.typing as npt

from meshwarden.lab.bank.directory import HOME, installation
from meshwarden.lab.bank.rules import STEP_UP_MINOR

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

SESSIONS_PER_DAY: Final = 3.0
_RATE_SHAPE: Final = 2.0
_EXTRA_ACTIONS: Final = 4.0  # mean of what follows login and list, beyond the one that always does
_MAX_EXTRA_ACTIONS: Final = 10
_THINK_MEDIAN_S: Final = 8.0
_THINK_SIGMA: Final = 0.8
_THINK_MAX_S: Final = 70.0  # keeps a session shorter than its access token lives
_SECOND_FACTOR_SHARE: Final = 0.2
_MARKED_SHARE: Final = 0.01  # payees on the sanction list, merchants that the network has closed
_HOME_DEVICE_SHARE: Final = 0.85
_HABITUAL_PAYEES: Final = 5
_HABITUAL_SHARE: Final = 0.9
_MAX_DEVICES: Final = 3
_LARGEST_TRANSFER_MINOR: Final = 8_000_00
_CREDIT_AMOUNTS: Final = np.array([1, 2, 3, 5, 8, 12, 20]) * 1_000_00
_CREDIT_MONTHS: Final = np.array([12, 24, 36, 48, 60])
# Weights of the hours of a day (quiet night, lunch, evening) and of the days from Monday on.
_HOURS: Final = np.array([
    0.15, 0.08, 0.05, 0.05, 0.08, 0.25, 0.7, 1.3, 1.5, 1.4, 1.3, 1.4,
    1.7, 1.5, 1.2, 1.2, 1.3, 1.6, 1.8, 1.9, 1.7, 1.3, 0.8, 0.4,
])  # fmt: skip
_DAYS: Final = np.array([1.1, 1.0, 1.0, 1.05, 1.25, 0.9, 0.7])
_AGENTS: Final = (
    "BankApp/4.2 (iPhone; iOS 19.1)", "BankApp/4.2 (Android 16; Pixel 9)",
    "BankApp/4.1 (Android 15; SM-S921B)", "Mozilla/5.0 (Windows NT 10.0; Win64; x64) Firefox/145.0",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 14_6) Safari/605.1.15",
    "Mozilla/5.0 (X11; Linux x86_64) Chrome/142.0.0.0", "BankApp/4.2 (iPad; iPadOS 19.0)",
)  # fmt: skip


class Kind(IntEnum):
    """What a customer does."""

    LOGIN = 0
    ACCOUNTS = 1
    BALANCE = 2
    STATEMENT = 3
    TRANSFER = 4
    CARD_PAYMENT = 5
    CREDIT = 6


_FREE_KINDS: Final = np.array(
    [Kind.BALANCE, Kind.STATEMENT, Kind.TRANSFER, Kind.CARD_PAYMENT, Kind.CREDIT]
)
_FREE_SHARES: Final = np.array([0.36, 0.20, 0.19, 0.22, 0.03])


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """One thing that one customer does; what does not belong to its kind is of no meaning.

    Attributes:
        at_s: seconds since the start of the span.
        session: unique in the span; its first action is the login.
        customer: number of the customer.
        kind: what is done.
        device: which of the customer's devices; HOME is the enrolled one.
        second_factor: whether this session's login uses one.
        account: which of the customer's accounts.
        payee: number of the customer who is paid.
        payee_account: which of the payee's accounts.
        amount_minor: how much.
        months: term of a credit.
        income_minor: monthly income as told in a credit application.
        marked: the payee is on the sanction list, or the merchant is closed.
    """

    at_s: float
    session: int
    customer: int
    kind: Kind
    device: int
    second_factor: bool
    account: int
    payee: int
    payee_account: int
    amount_minor: int
    months: int
    income_minor: int
    marked: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """Actions as columns, in the order of their times; row i of all columns is one Action."""

    at_s: Floats
    session: Ints
    customer: Ints
    kind: Ints
    device: Ints
    second_factor: Bools
    account: Ints
    payee: Ints
    payee_account: Ints
    amount_minor: Ints
    months: Ints
    income_minor: Ints
    marked: Bools

    def __len__(self) -> int:
        return len(self.at_s)

    def actions(self) -> Iterator[Action]:
        """Yield the rows, earliest first."""
        names = [field.name for field in fields(self)]
        for row in zip(*(getattr(self, name).tolist() for name in names), strict=True):
            values = dict(zip(names, row, strict=True))
            values["kind"] = Kind(values["kind"])
            yield Action(**values)


class CustomerModel:
    """`customers` people (at least 2) who live by `seed`."""

    def __init__(self, *, seed: int, customers: int) -> None:
        if customers < 2:
            raise ValueError("customers pay one another: at least 2 are needed")
        self.customers = customers
        self._seed = seed
        chance = np.random.default_rng([seed, 0])
        self._rate = chance.gamma(_RATE_SHAPE, SESSIONS_PER_DAY / _RATE_SHAPE, customers)
        self._devices = chance.choice([1, 2, 3], size=customers, p=[0.45, 0.4, 0.15])
        self._agents = chance.integers(len(_AGENTS), size=(customers, _MAX_DEVICES))
        self._income_minor = (chance.lognormal(np.log(2_800_00), 0.45, customers)).astype(np.int64)
        self._habitual = _others(
            chance, np.repeat(np.arange(customers), _HABITUAL_PAYEES), customers
        ).reshape(customers, _HABITUAL_PAYEES)

    def user_agent(self, customer: int, device: int) -> str:
        """Return what a customer's device calls itself; distinct per customer and device."""
        agent = _AGENTS[self._agents[customer, device]]
        return f"{agent} {installation(customer, device)}"

    def timeline(self, *, start: datetime, span_s: float, stream: int = 0) -> Timeline:
        """Return all actions of sessions that begin within the span.

        Args:
            start: gives the hour and the weekday; times count from here.
            span_s: model seconds.
            stream: another number gives another, equally likely course of events.
        """
        chance = np.random.default_rng([self._seed, 1, stream])
        begins, customer = self._sessions(chance, start, span_s)
        extra = 1 + np.minimum(
            chance.poisson(_EXTRA_ACTIONS, len(begins)), _MAX_EXTRA_ACTIONS
        ).astype(np.int64)
        count = extra + 2
        session = np.repeat(np.arange(len(begins)), count)
        position = np.arange(len(session)) - np.repeat(np.cumsum(count) - count, count)
        who = customer[session]
        kind = np.where(
            position == 0,
            Kind.LOGIN,
            np.where(
                position == 1,
                Kind.ACCOUNTS,
                chance.choice(_FREE_KINDS, size=len(session), p=_FREE_SHARES),
            ),
        )
        second_factor = chance.random(len(begins)) < _SECOND_FACTOR_SHARE
        device = self._device(chance, customer)
        actions = len(session)
        columns = Timeline(
            at_s=begins[session] + _think_s(chance, position),
            session=session,
            customer=who,
            kind=kind,
            device=device[session],
            second_factor=second_factor[session],
            account=(chance.random(actions) < 0.2).astype(np.int64),
            payee=self._payee(chance, who),
            payee_account=np.zeros(actions, dtype=np.int64),
            amount_minor=_amounts(chance, kind, second_factor[session]),
            months=chance.choice(_CREDIT_MONTHS, size=actions),
            income_minor=self._income_minor[who],
            marked=chance.random(actions) < _MARKED_SHARE,
        )
        order = np.argsort(columns.at_s, kind="stable")
        return Timeline(**{f.name: getattr(columns, f.name)[order] for f in fields(columns)})

    def _sessions(
        self, chance: np.random.Generator, start: datetime, span_s: float
    ) -> tuple[Floats, Ints]:
        """Return begin (seconds) and customer of each session: Poisson per customer and hour."""
        edges = np.append(np.arange(0.0, span_s, 3600.0), span_s)
        widths = np.diff(edges)
        hours = [start + timedelta(seconds=float(edge)) for edge in edges[:-1]]
        weight = np.array([rhythm(hour) for hour in hours])
        expected = np.outer(self._rate / 86_400, weight * widths)
        sessions = chance.poisson(expected)
        customer, hour = np.divmod(
            np.repeat(np.arange(sessions.size), sessions.ravel()), len(widths)
        )
        begins = edges[hour] + chance.random(len(hour)) * widths[hour]
        return begins, customer

    def _device(self, chance: np.random.Generator, customer: Ints) -> Ints:
        """Return the device of each session: home, or evenly one of the customer's others."""
        others = self._devices[customer] - 1
        away = (chance.random(len(customer)) > _HOME_DEVICE_SHARE) & (others > 0)
        return np.where(away, 1 + (chance.random(len(customer)) * others).astype(np.int64), HOME)

    def _payee(self, chance: np.random.Generator, customer: Ints) -> Ints:
        habitual = self._habitual[customer, chance.integers(_HABITUAL_PAYEES, size=len(customer))]
        anyone = _others(chance, customer, self.customers)
        return np.where(chance.random(len(customer)) < _HABITUAL_SHARE, habitual, anyone)


def rhythm(at: datetime) -> float:
    """Return how busy the bank is at that hour, 1 on the average of a week."""
    weight = _HOURS[at.hour] * _DAYS[at.weekday()]
    return float(weight / (_HOURS.mean() * _DAYS.mean()))


def _think_s(chance: np.random.Generator, position: Ints) -> Floats:
    """Return seconds since the session began; position 0 is the login."""
    pause = np.minimum(
        chance.lognormal(np.log(_THINK_MEDIAN_S), _THINK_SIGMA, len(position)), _THINK_MAX_S
    )
    pause[position == 1] = 1.0 + chance.random(int((position == 1).sum()))  # the app itself asks
    pause[position == 0] = 0.0
    total = np.cumsum(pause)
    begin = np.flatnonzero(position == 0)
    length = np.diff(np.append(begin, len(position)))
    since: Floats = total - np.repeat(total[begin], length)
    return since


def _amounts(chance: np.random.Generator, kind: Ints, second_factor: Bools) -> Ints:
    """Return amounts in minor units: large transfers only after a second factor."""
    everyday = chance.lognormal(np.log(45_00), 1.0, len(kind)).astype(np.int64)
    everyday = 1_00 + everyday % (STEP_UP_MINOR - 1_00)
    large = STEP_UP_MINOR + (chance.lognormal(np.log(900_00), 0.8, len(kind))).astype(np.int64) % (
        _LARGEST_TRANSFER_MINOR - STEP_UP_MINOR
    )
    is_large = (kind == Kind.TRANSFER) & second_factor & (chance.random(len(kind)) < 0.5)
    credit = chance.choice(_CREDIT_AMOUNTS, size=len(kind))
    return np.where(kind == Kind.CREDIT, credit, np.where(is_large, large, everyday))


def _others(chance: np.random.Generator, customer: Ints, customers: int) -> Ints:
    """Return for each customer another one, evenly."""
    step = chance.integers(1, customers, size=len(customer))
    return (customer + step) % customers
