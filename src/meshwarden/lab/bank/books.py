"""The nouns of the ledger: a transfer, the opening of the books, and what every store of them does.

Double entry: a transfer is two rows that sum to zero, so all rows of a currency always sum to zero.
An account that may not overdraw never does. The same key books once: again with the same content it
returns the first booking, with other content it is refused.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Protocol
from uuid import UUID

from meshwarden.lab.bank.directory import (
    CARD_SETTLEMENT,
    CURRENCY,
    EQUITY,
    MAY_OVERDRAW,
    MERCHANTS,
    Directory,
)
from meshwarden.lab.bank.service import Json, ProblemError

HISTORY: Final = 10  # rows that each account opens with, and that a statement shows
_DEPOSIT_MINOR: Final = 100_000_000
SYSTEM_ACCOUNTS: Final = (*MAY_OVERDRAW, CARD_SETTLEMENT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """`amount_minor` (> 0) from the account `debit` to the account `credit`, once per `key`."""

    key: str
    debit: str
    credit: str
    amount_minor: int
    currency: str
    reference: str

    @property
    def id(self) -> str:
        """The transfer's id, which its key determines."""
        return f"trf-{UUID(bytes=hashlib.sha256(self.key.encode()).digest()[:16], version=4)}"

    @property
    def content(self) -> tuple[str, str, int, str]:
        """What must be equal where the key is."""
        return (self.debit, self.credit, self.amount_minor, self.currency)


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """An account to open."""

    id: str
    currency: str
    may_overdraw: bool


class Books(Protocol):
    """A store of accounts and rows; a method holds all rules above or changes nothing."""

    async def open(self) -> None:
        """Make the store usable; ProblemError 503 where that cannot be."""
        ...

    async def close(self) -> None:
        """Give the store back."""
        ...

    async def open_accounts(self, accounts: list[Account], history: list[Transfer]) -> None:
        """Open the accounts that do not exist yet, with those transfers that touch one of them."""
        ...

    async def post(self, transfer: Transfer, *, at_ms: int) -> bool:
        """Book and return True, False where it was booked before; ProblemError 404, 409, 422."""
        ...

    async def balance(self, account: str) -> tuple[int, str]:
        """Return the balance in minor units and the currency; ProblemError 404."""
        ...

    async def entries(self, account: str, *, limit: int) -> list[Json]:
        """Return the newest rows of an account, newest first; ProblemError 404."""
        ...

    async def report(self) -> Json:
        """Return sum and number of rows per currency, and how many balances disagree."""
        ...


def opening(directory: Directory) -> tuple[list[Account], list[Transfer]]:
    """Return all accounts of the bank and the history that each customer's account starts with."""
    accounts = [
        Account(id=account, currency=CURRENCY, may_overdraw=account in MAY_OVERDRAW)
        for account in SYSTEM_ACCOUNTS
    ]
    history: list[Transfer] = []
    for number in range(directory.count):
        for account in directory.customer(number).accounts:
            accounts.append(Account(id=account, currency=CURRENCY, may_overdraw=False))
            history += _history(account)
    return accounts, history


def _history(account: str) -> Iterator[Transfer]:
    """Yield a deposit that no simulated year spends, then entries like those that will follow."""
    amounts = hashlib.sha256(account.encode()).digest()
    for row in range(HISTORY):
        inward = row % 3 == 0
        yield Transfer(
            key=f"open-{row}-{account[4:]}",
            debit=EQUITY if inward else account,
            credit=account if inward else EQUITY,
            amount_minor=(amounts[row] + 1) * 1_000 + (_DEPOSIT_MINOR if row == 0 else 0),
            currency=CURRENCY,
            reference="transfer" if inward else MERCHANTS[amounts[-row] % len(MERCHANTS)],
        )


def unknown_account(account: str) -> ProblemError:
    """Return the answer for an account that is not in the books."""
    return ProblemError(404, "ledger.unknown_account", f"no account {account}")


def refused_debit(transfer: Transfer, *, debit_exists: bool) -> ProblemError:
    """Return why the debit side did not move."""
    if not debit_exists:
        return unknown_account(transfer.debit)
    return ProblemError(409, "ledger.insufficient_funds", "the account does not hold that amount")


def check_transfer(transfer: Transfer) -> None:
    """Raise ProblemError 422 for a transfer that no books could hold."""
    if transfer.debit == transfer.credit:
        raise ProblemError(422, "ledger.same_account", "debit and credit are the same account")
    if transfer.amount_minor <= 0:
        raise ProblemError(422, "ledger.amount", "the amount must be positive")


def check_replay(transfer: Transfer, booked: tuple[str, str, int, str]) -> None:
    """Raise ProblemError 409 where a key comes back with other content than was booked under it."""
    if transfer.content != booked:
        raise ProblemError(409, "ledger.key_reused", "this key booked a different transfer")


def render_report(currencies: dict[str, tuple[int, int]], *, drifted: int) -> Json:
    """Return the report from (sum, number of rows) per currency."""
    return {
        "balanced": drifted == 0 and all(total == 0 for total, _ in currencies.values()),
        "entries": sum(rows for _, rows in currencies.values()),
        "drifted_accounts": drifted,
        "currencies": {
            name: {"sum_minor": total, "entries": rows}
            for name, (total, rows) in sorted(currencies.items())
        },
    }
