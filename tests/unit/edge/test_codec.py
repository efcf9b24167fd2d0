"""Envoy's messages, also such as no Envoy sends."""

from typing import Any

import pytest
from envoy.service.accesslog.v3.als_pb2 import StreamAccessLogsMessage
from envoy.service.auth.v3.external_auth_pb2 import CheckRequest
from envoy.service.ext_proc.v3.external_processor_pb2 import ProcessingRequest
from google.protobuf.json_format import ParseDict

from meshwarden.adapters.envoy.authorizer import codec
from meshwarden.adapters.envoy.authorizer.ports import Entered
from meshwarden.policy.targets.envoy.token_headers import HEADERS
from meshwarden.tokens import OAuthError, UnverifiedToken
from meshwarden.tokens.challenge import step_up

ROUTE = {"scopes": "a b", "body": "amount", "query": "", "hints": "sec-ch-ua x-device", "hops": "0"}


def question(
    headers: dict[str, str] | None = None, *, body: bytes = b"{}", **route: str
) -> CheckRequest:
    found = CheckRequest()
    http = found.attributes.request.http
    http.headers.update(headers or {})
    http.path, http.raw_body = "/x?y=1", body
    found.attributes.context_extensions.update(ROUTE | route)
    return found


def test_a_question_is_read() -> None:
    headers = {
        "authorization": "Bearer t", "user-agent": "A" * 600, "x-forwarded-for": "1.2.3.4",
        "sec-ch-ua": '"Chromium";v="126"', "x-device": "d1",
    }  # fmt: skip
    asked = codec.parse_entry_request(question(headers, body=b'{"amount": 7}'))
    assert not isinstance(asked, OAuthError)
    assert (asked.authorization, asked.scopes, asked.details) == (
        "Bearer t",
        ("a", "b"),
        {"amount": 7},
    )
    assert asked.context == {
        "req_ip": "1.2.3.4", "user_agent": "A" * 512, "client_hints": '"Chromium"; d1',
    }  # fmt: skip


def test_an_unreadable_body_is_a_refusal() -> None:
    assert isinstance(codec.parse_entry_request(question(body=b"[")), OAuthError)


def test_a_question_without_a_route_is_about_a_token_that_counts_once() -> None:
    assert not codec.is_entry(CheckRequest())
    assert codec.token_of(CheckRequest()).reveal() == ""


def test_the_outside_token_goes_and_one_transaction_token_comes() -> None:
    answer = codec.render_entered(Entered(token=UnverifiedToken("t"), transaction="x"))
    [header] = answer.ok_response.headers
    assert (header.header.key, header.header.value) == ("txn-token", "t")
    assert header.append_action == header.OVERWRITE_IF_EXISTS_OR_ADD
    assert "authorization" in answer.ok_response.headers_to_remove
    assert answer.dynamic_metadata["txn"] == "x"


@pytest.mark.parametrize(
    ("metadata", "transaction"),
    [
        ({}, None),
        ({"envoy.filters.http.ext_authz": {}}, None),
        ({"envoy.filters.http.ext_authz": {"txn": 7}}, None),
        ({"envoy.filters.http.ext_authz": {"txn": ""}}, None),
        ({"another": {"txn": "x"}}, None),
        ({"envoy.filters.http.ext_authz": {"txn": "x"}}, "x"),
    ],
)
def test_a_held_response_names_its_transaction_or_none(
    metadata: dict[str, Any], transaction: str | None
) -> None:
    held = ParseDict({"metadata_context": {"filter_metadata": metadata}}, ProcessingRequest())
    assert codec.transaction_of(held) == transaction


def test_a_challenge_takes_the_place_of_a_held_response() -> None:
    answer = codec.render_processed(step_up(("mfa",), 300, reason="inside.step_up"))
    found = {
        h.header.key: h.header.raw_value for h in answer.immediate_response.headers.set_headers
    }
    assert found["www-authenticate"].startswith(b"Bearer error=")
    assert not codec.render_processed(None).HasField("immediate_response")


HANDED = {HEADERS["txn"]: "t", HEADERS["acr"]: "pwd"}


def _log(*, names: int = 1, headers: dict[str, str] | None = None) -> StreamAccessLogsMessage:
    entry = {
        "common_properties": {
            "tls_properties": {
                "peer_certificate_properties": {
                    "subject_alt_name": [{"uri": "spiffe://t/front"}] * names
                }
            },
        },
        "request": {"request_method": "GET", "path": "/x", "request_headers": headers or {}},
    }
    return ParseDict({"http_logs": {"log_entry": [entry]}}, StreamAccessLogsMessage())


def test_a_refused_request_is_read_from_the_log() -> None:
    [found] = codec.refused_requests(_log(headers=HANDED | {"host": "back"}))
    assert (found.source, found.method, found.path) == ("spiffe://t/front", "GET", "/x")
    assert found.claims == {"txn": "t", "acr": "pwd"}


@pytest.mark.parametrize("message", [
    StreamAccessLogsMessage(), _log(), _log(headers={"txn": "t"}), _log(names=0, headers=HANDED),
    _log(names=2, headers=HANDED),
])  # fmt: skip
def test_what_proves_nobody_or_carries_no_token_is_passed_over(
    message: StreamAccessLogsMessage,
) -> None:
    assert list(codec.refused_requests(message)) == []
