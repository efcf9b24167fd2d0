"""The token request of RFC 8693 as Transaction Tokens profile it, from the bytes of its form.

Every parameter stands once or the request is refused; unknown ones are ignored (RFC 6749, section
3.2), but those that would ask for something that is not done (an actor, a resource) are refused.
Contexts are plain JSON: the base64url of older drafts is refused by name.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import unquote

from meshwarden.kernel.strict_json import parse_object
from meshwarden.tokens.errors import OAuthCode, OAuthError
from meshwarden.tokens.model import UnverifiedToken
from meshwarden.tokens.subject import SubjectKind

GRANT: Final = "urn:ietf:params:oauth:grant-type:token-exchange"
REQUESTED: Final = "urn:ietf:params:oauth:token-type:txn_token"
MAX_FORM_BYTES: Final = 32 * 1024
MAX_CONTEXT_BYTES: Final = 2048
MAX_SCOPES: Final = 16
_REFRESH: Final = "urn:ietf:params:oauth:token-type:refresh_token"
_MAX_FIELDS: Final = 32
_NOT_DONE: Final = ("actor_token", "actor_token_type", "resource", "client_secret")
_REQUIRED: Final = (
    "requested_token_type",
    "audience",
    "scope",
    "subject_token",
    "subject_token_type",
)
_SCOPE_CHARACTERS: Final = frozenset(map(chr, (0x21, *range(0x23, 0x5C), *range(0x5D, 0x7F))))


@dataclass(frozen=True, slots=True, kw_only=True)
class ExchangeRequest:
    """A request whose form is right; nothing in it is proven.

    Attributes:
        audience: the trust domain asked for.
        scopes: what is asked for, ascending.
        kind: of the subject token.
        subject_token: as sent.
        context: the environment of the request, as the requester tells it.
        details: the parameters of the operation.
    """

    audience: str
    scopes: tuple[str, ...]
    kind: SubjectKind
    subject_token: UnverifiedToken
    context: Mapping[str, Any] = field(default_factory=dict)
    details: Mapping[str, Any] = field(default_factory=dict)


def parse_request(raw: bytes) -> ExchangeRequest | OAuthError:
    """Return the request in a form's body, or the answer to a client that sent something else."""
    try:
        pairs = list(_pairs(raw.decode("ascii"))) if len(raw) <= MAX_FORM_BYTES else []
    except ValueError:
        pairs = []
    if not pairs:
        return _invalid("request.form", "the body is no form of at most 32 KiB")
    fields = dict(pairs)
    if len(fields) != len(pairs):
        return _invalid("request.duplicate", "a parameter stands twice")
    if fields.get("grant_type") != GRANT:
        if "grant_type" not in fields:
            return _invalid("request.missing", "grant_type is missing")
        return OAuthError(
            error=OAuthCode.UNSUPPORTED_GRANT_TYPE, description=f"grant_type must be {GRANT}",
            reason="request.grant_type",
        )  # fmt: skip
    return _missing(fields) or _read(fields)


def _pairs(form: str) -> Iterator[tuple[str, str]]:
    """Yield names and values as `parse_qsl` does when strict; most have no escape in them."""
    fields = form.split("&", _MAX_FIELDS)
    if len(fields) > _MAX_FIELDS:
        raise ValueError("too many fields")
    for each in fields:
        name, equals, value = each.partition("=")
        if not equals:
            raise ValueError("a field without a value")
        yield _unescaped(name), _unescaped(value)


def _unescaped(text: str) -> str:
    if "+" in text:
        text = text.replace("+", " ")
    return unquote(text, errors="strict") if "%" in text else text


def _missing(fields: Mapping[str, str]) -> OAuthError | None:
    for name in _REQUIRED:
        if not fields.get(name):
            return _invalid("request.missing", f"{name} is missing")
    for name in _NOT_DONE:
        if name in fields:
            return _invalid("request.not_done", f"{name} is not taken here")
    if fields["requested_token_type"] != REQUESTED:
        return _invalid("request.token_type", f"requested_token_type must be {REQUESTED}")
    return None


def _read(fields: Mapping[str, str]) -> ExchangeRequest | OAuthError:
    kind = fields["subject_token_type"]
    if kind == _REFRESH:
        return _invalid("request.refresh_token", "a refresh token is never a subject token")
    if kind not in set(SubjectKind):
        return _invalid(
            "request.subject_type", f"subject_token_type is one of {', '.join(SubjectKind)}"
        )
    scopes = fields["scope"].split(" ")
    if not all(scopes) or len(scopes) > MAX_SCOPES or not set("".join(scopes)) <= _SCOPE_CHARACTERS:
        return OAuthError(
            error=OAuthCode.INVALID_SCOPE, reason="request.scope",
            description=f"scope is a list of 1 to {MAX_SCOPES} words (RFC 6749, 3.3)",
        )  # fmt: skip
    contexts: list[Mapping[str, Any]] = []
    for name in ("request_context", "request_details"):
        found = _context(name, fields.get(name, "{}"))
        if isinstance(found, OAuthError):
            return found
        contexts.append(found)
    return ExchangeRequest(
        audience=fields["audience"],
        scopes=tuple(sorted(set(scopes))),
        kind=SubjectKind(kind),
        subject_token=UnverifiedToken(fields["subject_token"]),
        context=contexts[0],
        details=contexts[1],
    )


def _context(name: str, text: str) -> Mapping[str, Any] | OAuthError:
    if len(text.encode()) > MAX_CONTEXT_BYTES:
        return _invalid("request.context", f"{name} is longer than {MAX_CONTEXT_BYTES} bytes")
    if text.startswith("eyJ"):
        return _invalid(
            "request.context_encoded", f"{name} is base64url, as in older drafts: send plain JSON"
        )
    try:
        return parse_object(text)
    except (ValueError, RecursionError):
        return _invalid("request.context", f"{name} is no JSON object")


def _invalid(reason: str, description: str) -> OAuthError:
    return OAuthError(error=OAuthCode.INVALID_REQUEST, description=description, reason=reason)
