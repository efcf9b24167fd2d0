"""The HTTP face of the token service, behind its own Envoy.

- `POST /token`: the exchange (RFC 8693, profiled by Transaction Tokens).
- `GET /.well-known/oauth-authorization-server`: metadata (RFC 8414).
- `GET /jwks`: the keys that verify its tokens.

Whoever asks has proven itself by mutual TLS to our Envoy, which writes the certificate header; this
listens on a Unix socket that nobody else reaches. No answer about tokens may be cached.
"""

import json
from functools import lru_cache
from typing import Any, Final

from cryptography import x509
from starlette.types import ASGIApp, Receive, Scope, Send

from meshwarden.adapters.envoy.client_certificate import parse_client
from meshwarden.control.tokens.service import Caller, TokenService
from meshwarden.kernel import VerificationError
from meshwarden.tokens import (
    IssuedToken,
    OAuthCode,
    OAuthError,
    SubjectKind,
    VerificationKey,
    thumbprint,
)
from meshwarden.tokens.jws import ALGORITHMS, fits
from meshwarden.tokens.request import GRANT, MAX_FORM_BYTES, REQUESTED

FORM: Final = b"application/x-www-form-urlencoded"
METADATA_PATH: Final = "/.well-known/oauth-authorization-server"
_JSON: Final = (b"content-type", b"application/json")
_NO_STORE: Final = ((b"cache-control", b"no-store"), (b"pragma", b"no-cache"))
_CACHED: Final = ((b"cache-control", b"max-age=300"),)
_Headers = list[tuple[bytes, bytes]]


class TokenApi:
    """The application; `others` answers the paths that are not the token service's own."""

    def __init__(self, service: TokenService, others: ASGIApp | None = None) -> None:
        self._service = service
        self._others = others

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            raise ValueError("only HTTP is served")
        path, method = scope["path"], scope["method"]
        if path == "/token":
            if method != "POST":
                await _answer(send, 405, {"error": "invalid_request"}, allow=b"POST")
            else:
                await self._token(scope["headers"], receive, send)
        elif path == METADATA_PATH and method == "GET":
            await _answer(send, 200, metadata(self._service), cache=_CACHED)
        elif path == "/jwks" and method == "GET":
            await _answer(send, 200, json.loads(self._service.keeping.jwks()), cache=_CACHED)
        elif path == "/healthz" and method == "GET":
            await _answer(send, 200, {"status": "ok"})
        elif self._others is not None:
            await self._others(scope, receive, send)
        else:
            await _answer(send, 404, {"error": "not_found"})

    async def _token(self, headers: _Headers, receive: Receive, send: Send) -> None:
        caller = caller_of(headers, self._service.policy.trust_domain)
        if isinstance(caller, OAuthError):
            self._service.outcomes[caller.reason] += 1
            await _answer(send, caller.status, caller.as_json())
            return
        kinds = [value for name, value in headers if name == b"content-type"]
        if len(kinds) != 1 or kinds[0].split(b";")[0].strip().lower() != FORM:
            raw = b""
        else:
            raw = await read_body(receive, MAX_FORM_BYTES)
        answer = await self._service.answer(raw, caller)
        if isinstance(answer, OAuthError):
            await _answer(send, answer.status, answer.as_json())
        else:
            await _answer(send, 200, render_answer(answer))


def caller_of(headers: _Headers, trust_domain: str) -> Caller | OAuthError:
    """Return the workload that our Envoy authenticated; `invalid_client` where there is none."""
    try:
        identity, certificate = parse_client(headers)
    except VerificationError as error:
        return _unknown(error.code, error.message)
    if identity.trust_domain != trust_domain:
        return _unknown("client.foreign", "the caller is of another trust domain")
    return Caller(identity=identity, certificate_key=_key_of(certificate))


def _unknown(reason: str, description: str) -> OAuthError:
    return OAuthError(error=OAuthCode.INVALID_CLIENT, description=description, reason=reason)


def render_answer(issued: IssuedToken) -> dict[str, Any]:
    """Return the body of a good answer (Transaction Tokens, "Txn-Token Response")."""
    return {
        "token_type": "N_A",
        "issued_token_type": REQUESTED,
        "access_token": issued.token.reveal(),
        "expires_in": issued.claims.expires - issued.claims.issued,
    }


def metadata(service: TokenService) -> dict[str, Any]:
    """Return the metadata document (RFC 8414, section 2)."""
    policy = service.policy
    return {
        "issuer": policy.issuer,
        "token_endpoint": f"{policy.issuer}/token",
        "jwks_uri": f"{policy.issuer}/jwks",
        "grant_types_supported": [GRANT],
        "response_types_supported": [],
        "scopes_supported": sorted(policy.scopes),
        "acr_values_supported": list(policy.assurance),
        "token_endpoint_auth_methods_supported": ["spiffe_x509", "tls_client_auth"],
        "subject_token_types_supported": [kind.value for kind in SubjectKind],
        "txn_token_signing_alg_values_supported": [policy.algorithm],
    }


async def read_body(receive: Receive, max_bytes: int) -> bytes:
    """Return a request's body; nothing where it is longer than `max_bytes` or breaks off."""
    found: list[bytes] = []
    length = 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return b""
        part: bytes = message.get("body", b"")
        length += len(part)
        if length <= max_bytes:
            found.append(part)
        if not message.get("more_body", False):
            return b"".join(found) if length <= max_bytes else b""


@lru_cache(maxsize=1024)
def _key_of(certificate: str | None) -> VerificationKey | None:
    """Return the key of the caller's certificate, where it is one that signs tokens.

    A workload sends thousands of requests under one certificate; it is read once.
    """
    if certificate is None:
        return None
    try:
        public: Any = x509.load_pem_x509_certificate(certificate.encode()).public_key()
    except ValueError:
        return None
    algorithm = next((one for one in ALGORITHMS if fits(public, one)), None)
    if algorithm is None:
        return None
    return VerificationKey(kid=thumbprint(public), algorithm=algorithm, key=public)


async def _answer(
    send: Send,
    status: int,
    body: dict[str, Any],
    *,
    cache: tuple[tuple[bytes, bytes], ...] = _NO_STORE,
    allow: bytes | None = None,
) -> None:
    raw = json.dumps(body, separators=(",", ":")).encode()
    headers = [_JSON, (b"content-length", str(len(raw)).encode()), *cache]
    if allow is not None:
        headers.append((b"allow", allow))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": raw})
