"""Whether an Envoy refused a call, and by which rule, from what it says about the response."""

import re
from functools import lru_cache
from typing import Final

_BRACKETS: Final = re.compile(r"\[(.{1,256})\]", re.DOTALL)
_PREFIXES: Final = (
    ("jwt_authn_access_denied", "token"),
    ("ext_authz_denied", "authorizer"),
    ("ext_authz_error", "authorizer"),
)


@lru_cache(maxsize=16_384)
def refusal_of(details: str | None, flags: str | None) -> tuple[bool, str | None]:
    """Return whether policy refused, and the rule; `default-deny` where no rule matched.

    >>> refusal_of("rbac_access_denied_matched_policy[ns[core]-policy[pay]-rule[0]]", None)
    (True, 'ns[core]-policy[pay]-rule[0]')
    """
    details = details or ""
    if details.startswith("rbac_access_denied"):
        named = _BRACKETS.search(details)
        rule = named.group(1) if named else "none"
        return True, "default-deny" if rule == "none" else rule
    for prefix, rule in _PREFIXES:
        if details.startswith(prefix):
            return True, rule
    if "UAEX" in (flags or "").split(","):
        return True, "authorizer"
    return False, None
