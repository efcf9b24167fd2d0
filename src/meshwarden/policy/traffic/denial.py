"""Who denied a recorded call, in words: by the names that the record gives to rules."""

from typing import Final

_BY_RULE: Final = (
    ("default-deny", "the policy, at the callee's sidecar: no rule allows it"),
    ("containment:", "containment: the callee or caller is cut off, whatever policy says"),
    ("egress:", "the caller's own sidecar: its policy lists neither callee nor outside host"),
    ("tls:not-allowed", "the callee's sidecar, in the handshake: no rule lets this caller connect"),
    ("tls:", "the handshake: no identity was proved, a change of policy is no remedy"),
    ("http:", "the proxy's parser: the request is malformed, a change of policy is no remedy"),
    ("unclean_path", "the policy's guard: the path is ambiguous, every policy refuses it"),
    ("token", "the check of the caller's token"),
    ("authorizer", "the external authorizer"),
)


def denied_by(rule: str | None, *, denied: bool) -> str:
    """Return who denied a call with this `rule`, or that nobody did.

    >>> denied_by("tls:expired", denied=True)
    'the handshake: no identity was proved, a change of policy is no remedy (tls:expired)'
    """
    if not denied:
        return f"nobody: it was allowed{f' by {rule}' if rule else ''}"
    for start, who in _BY_RULE:
        if rule is not None and rule.startswith(start):
            return who if rule == "default-deny" else f"{who} ({rule})"
    return f"policy ({rule})" if rule else "somebody who left no name in the record"
