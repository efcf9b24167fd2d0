"""Who refused, by which rule: what an entry's details and failures say.

Names of our own: `default-deny` where no rule allows it, `tls:<why>` for handshakes, `egress:<why>`
and `http:malformed` for refusals by the sidecar itself, `containment:<why>` for what is cut off in
spite of policy, `token` for a wrong one and `token:once` for one that was used before, `authorizer`
and `authorizer:unavailable` at the edge.
Any other rule is the policy's.
"""

import re
from typing import Final

from meshwarden.adapters.envoy.accesslog import Kind
from meshwarden.adapters.envoy.accesslog_entry import Entry

CONTAINED: Final = "containment:"
DEFAULT_DENY: Final = "default-deny"
_NO_MATCH: Final = "none"  # what Envoy writes where no rule matched
_BRACKETS: Final = re.compile(r"\[(.{1,256})\]", re.DOTALL)
_MALFORMED: Final = ("http1.", "http2.", "path_normalization_failed", "missing_host_header")
_HANDSHAKE_RULES: Final = (
    ("SAN_matcher", "tls:not-allowed"),  # connections: no rule lets this certificate's owner in
    ("PEER_DID_NOT_RETURN_A_CERTIFICATE", "tls:no-certificate"),
    ("certificate_has_expired", "tls:expired"),
    ("certificate_is_not_yet_valid", "tls:not-yet-valid"),
    ("certificate_revoked", "tls:revoked"),
    ("unable_to_get_local_issuer", "tls:foreign-authority"),
    ("self_signed", "tls:foreign-authority"),
    ("unable_to_verify_the_first", "tls:foreign-authority"),
    ("HTTP_REQUEST", "tls:plaintext"),
    ("WRONG_VERSION_NUMBER", "tls:plaintext"),
    ("UNSUPPORTED_PROTOCOL", "tls:version"),
    ("Connection_reset", "tls:unproven"),
)


def callee_decision(entry: Entry) -> tuple[bool, str | None]:
    """Return whether the callee's sidecar refused, and the rule that decided."""
    details = entry.details or ""
    if details.startswith("rbac_access_denied"):
        named = _BRACKETS.search(details)
        by = named.group(1) if named else _NO_MATCH
        # What `containment` refuses is refused by it, whatever policy says of the call.
        rule = by if by.startswith(CONTAINED) else entry.rule or by
        return True, DEFAULT_DENY if rule == _NO_MATCH else rule
    if details.startswith("jwt_authn_access_denied"):
        return True, "token"
    if details.startswith("ext_authz_"):
        return True, _not_authorized(entry, details)
    if entry.kind is Kind.EDGE and details == "direct_response":
        return True, "edge:not-listed"
    if details == "step_up_inside":
        return True, "authorizer:step-up"
    if details.startswith(_MALFORMED):
        return True, "http:malformed"
    return False, None if entry.rule == _NO_MATCH else entry.rule


def _not_authorized(entry: Entry, details: str) -> str:
    if details.startswith("ext_authz_error"):
        return "authorizer:unavailable"
    return "authorizer" if entry.kind is Kind.EDGE else "token:once"


def caller_refusal(entry: Entry) -> tuple[bool, str | None]:
    """Return whether the caller's own sidecar refused, and why."""
    if "CERTIFICATE_VERIFY_FAILED" in (entry.upstream_failure or ""):
        return True, "tls:callee-unproven"
    if (entry.details or "").startswith(_MALFORMED):
        return True, "http:malformed"
    if entry.kind is Kind.OUTBOUND_TCP and entry.refusal:
        return True, entry.refusal
    if entry.details == "route_not_found":
        return True, "egress:not-listed"
    if entry.details == "direct_response" and (entry.status or 0) >= 400:
        return True, entry.refusal or "egress:not-listed"
    return False, None


def handshake_rule(failure: str | None) -> str:
    """Return the name of what ended a handshake; Envoy gives its reasons as text."""
    if failure is None:
        return "tls:unproven"
    return next((rule for mark, rule in _HANDSHAKE_RULES if mark in failure), "tls:refused")
