"""The times of a token, judged by one captured instant (RFC 7519, sections 4.1.4 to 4.1.6)."""

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from meshwarden.tokens.errors import TokenError
from meshwarden.tokens.model import SKEW_S


def check_times(
    claims: Mapping[str, Any], *, now: datetime, max_life_s: int | None = None, skew_s: int = SKEW_S
) -> tuple[int, int]:
    """Return `iat` and `exp`; TokenError where the token's time is not now (rows 8 and 9).

    A token ends at its `exp` and not a moment later: skew is allowed to issuers whose clocks are
    ahead, never to those who hold an old token.
    """
    moment = now.astimezone(UTC).timestamp()
    issued, expires = number_of(claims, "iat"), number_of(claims, "exp")
    if issued is None or expires is None:
        raise TokenError(
            "token.claims", "it does not say when it was issued and ends", clause="row 10"
        )
    if moment >= expires:
        raise TokenError("token.expired", "it has expired", clause="row 8; RFC 7519, 4.1.4")
    for name in ("iat", "nbf"):
        starts = number_of(claims, name)
        if starts is not None and starts > moment + skew_s:
            raise TokenError(
                "token.not_yet_valid", f"its {name} lies in the future", clause="row 8"
            )
    if expires <= issued:
        raise TokenError("token.lifetime", "it ends before it begins", clause="row 9")
    if max_life_s is not None and expires - issued > max_life_s:
        raise TokenError("token.lifetime", f"it lives longer than {max_life_s} s", clause="row 9")
    return int(issued), int(expires)


def number_of(claims: Mapping[str, Any], name: str) -> float | None:
    """Return a NumericDate; None where the claim is absent; TokenError where it is no time."""
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TokenError("token.claims", f"its {name} is no time", clause="RFC 7519, 2")
    if not math.isfinite(value) or not 0 <= value <= 2**43:
        raise TokenError("token.claims", f"its {name} is no time", clause="RFC 7519, 2")
    return float(value)
