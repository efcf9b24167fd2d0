"""Envoy's questions into values, and answers into Envoy's messages; no I/O.

What a question holds was sent by strangers: headers are bounded by Envoy (60 KiB), bodies by the
route, and everything that is read of them by `tokens.edge`.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from envoy.config.core.v3.base_pb2 import HeaderValue, HeaderValueOption, RequestMethod
from envoy.data.accesslog.v3.accesslog_pb2 import HTTPAccessLogEntry
from envoy.service.accesslog.v3.als_pb2 import StreamAccessLogsMessage
from envoy.service.auth.v3.external_auth_pb2 import (
    CheckRequest,
    CheckResponse,
    DeniedHttpResponse,
    OkHttpResponse,
)
from envoy.service.ext_proc.v3.external_processor_pb2 import (
    HeaderMutation,
    HeadersResponse,
    ImmediateResponse,
    ProcessingRequest,
    ProcessingResponse,
)
from envoy.type.v3.http_status_pb2 import HttpStatus
from google.rpc import code_pb2
from google.rpc.status_pb2 import Status

from meshwarden.adapters.envoy.authorizer.ports import Entered, RefusedRequest
from meshwarden.adapters.envoy.verification import HEADER
from meshwarden.policy.targets.envoy.token_headers import HEADERS
from meshwarden.tokens import OAuthError, UnverifiedToken
from meshwarden.tokens.challenge import Refusal
from meshwarden.tokens.edge import EdgeRequest, client_address, parse_body, parse_query

SCOPES: Final = "scopes"
BODY: Final = "body"
QUERY: Final = "query"
HINTS: Final = "hints"
HOPS: Final = "hops"
"""What a route of an edge tells the authorizer about itself, lists joined by spaces."""

AUTHORIZER: Final = "envoy.filters.http.ext_authz"
"""Where Envoy keeps what the authorizer answered."""

TRANSACTION: Final = "txn"
JA4: Final = "x-meshwarden-ja4"
_VERSION: Final = re.compile(r';v="[^"]*"')
_MAX_AGENT: Final = 512
_MAX_HINTS: Final = 200


def parse_entry_request(question: CheckRequest) -> EdgeRequest | OAuthError:
    """Return what the edge asks about; a refusal where body or query cannot be read."""
    http, route = question.attributes.request.http, question.attributes.context_extensions
    raw = http.raw_body or http.body.encode()
    found: list[Mapping[str, Any]] = []
    for part in (
        parse_query(http.path, _names(route, QUERY)), parse_body(raw, _names(route, BODY))
    ):  # fmt: skip
        if isinstance(part, OAuthError):
            return part
        found.append(part)
    return EdgeRequest(
        authorization=http.headers.get("authorization"),
        scopes=_names(route, SCOPES),
        context=_context(http.headers, route),
        details={**found[0], **found[1]},
    )


def is_entry(question: CheckRequest) -> bool:
    """Return whether it is an edge's question; else it is about a token that counts once."""
    return SCOPES in question.attributes.context_extensions


def token_of(question: CheckRequest) -> UnverifiedToken:
    """Return the transaction token of a question; an empty one where there is none."""
    return UnverifiedToken(question.attributes.request.http.headers.get(HEADER, ""))


def render_entered(entered: Entered) -> CheckResponse:
    """Return the answer that lets a request in, with its token and without the outside one."""
    answer = CheckResponse(
        status=Status(code=code_pb2.OK),
        ok_response=OkHttpResponse(
            headers=[_header(HEADER, entered.token.reveal())],
            headers_to_remove=["authorization"],
        ),
    )
    answer.dynamic_metadata.update({TRANSACTION: entered.transaction})
    return answer


def render_passed() -> CheckResponse:
    """Return the answer that lets a token's first use pass."""
    return CheckResponse(status=Status(code=code_pb2.OK), ok_response=OkHttpResponse())


def render_refusal(refusal: Refusal) -> CheckResponse:
    """Return the answer that refuses a request."""
    denied = DeniedHttpResponse(
        status=HttpStatus(code=refusal.status),
        headers=list(_headers(refusal)),
        body=refusal.body,
    )
    return CheckResponse(status=Status(code=code_pb2.PERMISSION_DENIED), denied_response=denied)


def transaction_of(held: ProcessingRequest) -> str | None:
    """Return the transaction of a response that is held; None where it belongs to none."""
    known = held.metadata_context.filter_metadata.get(AUTHORIZER)
    value = None if known is None else known.fields.get(TRANSACTION)
    return value.string_value or None if value is not None else None


def render_processed(refusal: Refusal | None) -> ProcessingResponse:
    """Return the answer to a response that was held: as it is, or `refusal` in its place."""
    if refusal is None:
        return ProcessingResponse(response_headers=HeadersResponse())
    return ProcessingResponse(
        immediate_response=ImmediateResponse(
            status=HttpStatus(code=refusal.status),
            headers=HeaderMutation(set_headers=[_raw(one) for one in _headers(refusal)]),
            body=refusal.body.encode(),
            details="step_up_inside",
        )
    )


def refused_requests(message: StreamAccessLogsMessage) -> Iterator[RefusedRequest]:
    """Yield the requests of a message that were sent under a verified token by a proven caller."""
    for entry in message.http_logs.log_entry:
        found = _refused(entry)
        if found is not None:
            yield found


def _refused(entry: HTTPAccessLogEntry) -> RefusedRequest | None:
    common = entry.common_properties
    names = common.tls_properties.peer_certificate_properties.subject_alt_name
    headers = entry.request.request_headers
    claims = {claim: headers[name] for claim, name in HEADERS.items() if name in headers}
    if len(names) != 1 or not claims:
        return None
    return RefusedRequest(
        source=names[0].uri,
        method=_METHODS.get(entry.request.request_method, ""),
        path=entry.request.path,
        claims=claims,
    )


_METHODS: Final = {number: name for name, number in RequestMethod.items() if number}


def _names(route: Mapping[str, str], key: str) -> tuple[str, ...]:
    return tuple(route.get(key, "").split())


def _context(headers: Mapping[str, str], route: Mapping[str, str]) -> dict[str, str]:
    hints = (_VERSION.sub("", headers.get(name, "")) for name in _names(route, HINTS))
    found = {
        "req_ip": client_address(headers.get("x-forwarded-for", ""), int(route.get(HOPS, "0"))),
        "user_agent": headers.get("user-agent", "")[:_MAX_AGENT],
        "client_hints": "; ".join(hint for hint in hints if hint)[:_MAX_HINTS],
        "ja4": headers.get(JA4, "").removeprefix("-"),  # what Envoy writes where there is none
    }
    return {name: value for name, value in found.items() if value}


def _headers(refusal: Refusal) -> Iterator[HeaderValueOption]:
    yield _header("content-type", "application/problem+json")
    yield _header("cache-control", "no-store")
    if refusal.challenge is not None:
        yield _header("www-authenticate", refusal.challenge)


def _raw(header: HeaderValueOption) -> HeaderValueOption:
    """Return a header as external processing takes it: octets, where others take text."""
    octets = HeaderValue(key=header.header.key, raw_value=header.header.value.encode())
    return HeaderValueOption(header=octets, append_action=header.append_action)


def _header(name: str, value: str) -> HeaderValueOption:
    return HeaderValueOption(
        header=HeaderValue(key=name, value=value),
        append_action=HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD,
    )
