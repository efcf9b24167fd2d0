"""A token as a command takes it: an argument, or `-` for standard input, never shown again."""

import sys
from datetime import UTC, datetime
from typing import Annotated, Final

from cyclopts import Parameter

from meshwarden.adapters.clock import SystemClock
from meshwarden.kernel import InputError
from meshwarden.tokens import UnverifiedToken

TokenText = Annotated[str, Parameter(allow_leading_hyphen=True)]
MAX_CHARACTERS: Final = 64 * 1024


def read_token(text: str) -> UnverifiedToken:
    """Return the token; a name of its header before it (`Txn-Token:`, `Bearer`) is taken off."""
    raw = sys.stdin.read(MAX_CHARACTERS) if text == "-" else text
    words = raw.split()
    if not words:
        raise InputError("token.empty", "there is no token", where="-" if text == "-" else "TOKEN")
    return UnverifiedToken(words[-1])


def read_moment(text: str | None) -> datetime:
    """Return the instant that `--at` names (RFC 3339), or now; InputError `token.time`."""
    if text is None:
        return SystemClock().now()
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise InputError("token.time", f"{text[:40]!r} is no time", where="--at") from error
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
