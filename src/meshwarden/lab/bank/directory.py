"""Who the bank's customers are: names, accounts and secrets, all derived from one seed.

Every service, the load generator and the synthesizer derive the same customers, so that nothing has
to be loaded or shared at start. The secrets are as good as the seed is secret: this is a laboratory
bank. Standard library only: services start in a fraction of a second.
"""

import base64
import hashlib
import hmac
import re
from dataclasses import dataclass
from typing import Final
from uuid import UUID

CURRENCY: Final = "EUR"
EQUITY: Final = "acc-00000000-0000-4000-8000-000000000001"  # where opening balances come from
CARD_SETTLEMENT: Final = "acc-00000000-0000-4000-8000-000000000002"
LENDING: Final = "acc-00000000-0000-4000-8000-000000000003"
MAY_OVERDRAW: Final = (EQUITY, LENDING)
MERCHANTS: Final = ("Corner Bakery", "City Grocer", "Rail Tickets", "Book Shop", "Fuel Station")
SANCTIONED: Final = ("Orlan Trading Ltd", "Miro Vasek", "Halvard Skane", "Port Cassel Shipping")
ACCOUNTS_EACH: Final = 2

_FIRST = (
    "Ada", "Bruno", "Carla", "Dmitri", "Elif", "Farid", "Greta", "Hugo", "Ines", "Jonas",
    "Katya", "Liam", "Mina", "Noor", "Oskar", "Priya", "Rosa", "Sven", "Tara", "Wen",
)  # fmt: skip
_LAST = (
    "Abel", "Brandt", "Castro", "Dahl", "Eriksen", "Fischer", "Grosso", "Haas", "Ivanova", "Jansen",
    "Keller", "Lund", "Moreau", "Novak", "Okafor", "Peeters", "Rossi", "Silva", "Tanaka", "Weber",
)  # fmt: skip
_USER_NAME = re.compile(r"customer([0-9]{6})")


HOME: Final = 0


def installation(customer: int, device: int) -> str:
    """Return what the bank's app on a customer's device ends its User-Agent with; HOME is enrolled.

    >>> installation(7, HOME)
    'd000007-0'
    """
    return f"d{customer:06d}-{device}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Customer:
    """One customer; `number` counts from 0, `otp_key` is the second factor's shared secret."""

    number: int
    id: str
    name: str
    user_name: str
    password: str
    otp_key: bytes
    accounts: tuple[str, ...]


class Directory:
    """The `count` customers that `seed` gives.

    >>> Directory("seed", 3).customer(2).user_name
    'customer000002'
    """

    def __init__(self, seed: str, count: int) -> None:
        self._key = seed.encode()
        self.count = count

    def customer(self, number: int) -> Customer:
        """Return customer `number`, 0 <= number < count; IndexError outside."""
        if not 0 <= number < self.count:
            raise IndexError(number)
        name = self._digest("name", number)
        return Customer(
            number=number,
            id=self.customer_id(number),
            name=f"{_FIRST[name[0] % len(_FIRST)]} {_LAST[name[1] % len(_LAST)]}",
            user_name=f"customer{number:06d}",
            password=base64.urlsafe_b64encode(self._digest("password", number)[:15]).decode(),
            otp_key=self._digest("otp", number)[:20],
            accounts=tuple(self.account_id(number, which) for which in range(ACCOUNTS_EACH)),
        )

    def customer_id(self, number: int) -> str:
        """Return the id of customer `number`: `cus-` and a UUID."""
        return f"cus-{_uuid(self._digest('customer', number))}"

    def account_id(self, number: int, which: int) -> str:
        """Return the id of a customer's account, 0 <= which < ACCOUNTS_EACH: `acc-` and a UUID."""
        return f"acc-{_uuid(self._digest(f'account{which}', number))}"

    def by_user_name(self, user_name: str) -> Customer | None:
        """Return who logs in as `user_name`; None where nobody does."""
        match = _USER_NAME.fullmatch(user_name)
        number = int(match[1]) if match else self.count
        return self.customer(number) if number < self.count else None

    def _digest(self, label: str, number: int) -> bytes:
        return hmac.digest(self._key, f"{label}:{number}".encode(), hashlib.sha256)


def _uuid(digest: bytes) -> UUID:
    return UUID(bytes=digest[:16], version=4)
