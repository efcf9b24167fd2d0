"""Time-based one-time passwords (RFC 6238): SHA-1, 30 s steps, 6 digits, each accepted once."""

import hashlib
import hmac
from typing import Final

STEP_S: Final = 30
_DIGITS: Final = 6


def code_at(key: bytes, step: int) -> str:
    """Return the six digits for the time step `step` (RFC 4226, section 5.3).

    >>> code_at(b"12345678901234567890", 59 // STEP_S)
    '287082'
    """
    digest = hmac.digest(key, step.to_bytes(8, "big"), hashlib.sha1)
    offset = digest[-1] & 0x0F
    number = int.from_bytes(digest[offset : offset + 4], "big") & 0x7FFFFFFF
    return f"{number % 10**_DIGITS:0{_DIGITS}d}"


def accepted_step(key: bytes, unverified: str, *, at_s: float, after: int) -> int | None:
    """Return the step whose code this is; None where it is none of now and its neighbours.

    Args:
        key: the shared secret.
        unverified: what was typed in.
        at_s: the time, in seconds since the epoch.
        after: the last step accepted before; it and all before it are spent (section 5.2).
    """
    now = int(at_s) // STEP_S
    matching = None
    for step in (now - 1, now, now + 1):
        same = hmac.compare_digest(code_at(key, step).encode(), unverified.encode())
        if same and step > after:
            matching = step
    return matching
