"""Checks what a request brings: each accessor returns a proven value or raises ProblemError 422.

Amounts are whole numbers of minor units, never fractions; ids have their one form; texts are
bounded and printable; keys that nobody asked for are refused.
"""

import re
from typing import Final

from starlette.requests import Request

from meshwarden.lab.bank.service import ProblemError, read_json

MAX_AMOUNT_MINOR: Final = 10**11
_ID: Final = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_KEY: Final = re.compile(r"[A-Za-z0-9._-]{8,64}")
_CURRENCY: Final = re.compile(r"[A-Z]{3}")


class Fields:
    """One JSON object with a known set of names."""

    def __init__(self, raw: object, *names: str) -> None:
        if not isinstance(raw, dict):
            raise ProblemError(422, "input.invalid", "the body must be a JSON object")
        if unknown := raw.keys() - set(names):
            raise ProblemError(422, "input.invalid", f"unknown field {min(unknown)[:40]!r}")
        self._raw = raw

    def integer(self, name: str, low: int, high: int) -> int:
        """Return a whole number within [low, high]."""
        value = self._raw.get(name)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise _invalid(name, f"a whole number from {low} to {high}")
        return value

    def amount(self, name: str = "amount_minor") -> int:
        """Return a positive amount in minor units."""
        return self.integer(name, 1, MAX_AMOUNT_MINOR)

    def text(self, name: str, *, longest: int = 140, default: str | None = None) -> str:
        """Return printable text of 1 to `longest` characters, or `default` where it is absent."""
        value = self._raw.get(name, default)
        if not isinstance(value, str) or not 1 <= len(value) <= longest or not value.isprintable():
            raise _invalid(name, f"a text of 1 to {longest} printable characters")
        return value

    def choice(self, name: str, *known: str) -> str:
        """Return one of the `known` texts."""
        value = self._raw.get(name)
        if not isinstance(value, str) or value not in known:
            raise _invalid(name, f"one of {', '.join(known)}")
        return value

    def account(self, name: str) -> str:
        """Return an account's id."""
        return parse_id(self._raw.get(name), "acc", name)

    def customer(self, name: str) -> str:
        """Return a customer's id."""
        return parse_id(self._raw.get(name), "cus", name)

    def currency(self, name: str = "currency") -> str:
        """Return a currency's ISO 4217 code."""
        return self._matching(name, _CURRENCY, "three capital letters")

    def key(self, name: str = "key") -> str:
        """Return an idempotency key."""
        return self._matching(name, _KEY, "8 to 64 of A-Z a-z 0-9 . _ -")

    def _matching(self, name: str, pattern: re.Pattern[str], wanted: str) -> str:
        value = self._raw.get(name)
        if not isinstance(value, str) or not pattern.fullmatch(value):
            raise _invalid(name, wanted)
        return value


async def read_fields(request: Request, *names: str) -> Fields:
    """Return the request's JSON object, which has no field outside `names`."""
    return Fields(await read_json(request), *names)


def parse_id(unverified: object, prefix: str, name: str = "id") -> str:
    """Return an id of the form `<prefix>-<uuid>`; ProblemError 422 where it has another."""
    if not isinstance(unverified, str) or not re.fullmatch(f"{prefix}-{_ID}", unverified):
        raise _invalid(name, f"an id like {prefix}-xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx")
    return unverified


def path_id(request: Request, prefix: str) -> str:
    """Return the id in the request's path."""
    return parse_id(request.path_params["id"], prefix)


def customer_of(request: Request) -> str:
    """Return the customer on whose behalf another service calls (X-Customer)."""
    return parse_id(request.headers.get("x-customer"), "cus", "X-Customer")


def _invalid(name: str, wanted: str) -> ProblemError:
    return ProblemError(422, "input.invalid", f"{name} must be {wanted}")
