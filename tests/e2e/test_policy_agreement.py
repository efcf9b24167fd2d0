"""The compiled Envoy filter and the reference evaluator agree, against a real Envoy.

One proxy, its filters swapped by ECDS; callers with real certificates; requests as raw bytes.
"""

import asyncio
import json
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import grpc
import pytest
from google.protobuf.message import Message
from tests.e2e.policy_cases import CALLERS, METHODS, PORTS, PROBE, Cases
from tests.e2e.policy_clients import Http1Client, ask_http2, client_context, echoes
from tests.e2e.policy_support import Authority, Proxy, running_proxy
from tests.e2e.policy_tokens import HEADER, Token, TokenService

from meshwarden.adapters.yaml import parse_document
from meshwarden.kernel import SpiffeId
from meshwarden.policy import (
    AccessPolicy,
    Connection,
    HttpRequest,
    decide,
    normalize_path,
    parse_policy,
)
from meshwarden.policy.match import misses
from meshwarden.policy.targets.envoy import compile_http_filter, compile_network_filter
from meshwarden.policy.targets.envoy.token_metadata import ONCE

POLICIES = 90
REQUESTS = 70
ODD_REQUESTS = 8
CONNECTIONS = 6
VECTORS = Path(__file__).parents[1] / "vectors" / "policy" / "paths.json"
Files = tuple[Path, Path]

pytestmark = [pytest.mark.e2e]


def _filters(policy: AccessPolicy) -> dict[str, Message]:
    network = {f"tcp/{port}": compile_network_filter(policy, "callee", port) for port in PORTS}
    http = compile_http_filter(policy, "callee", single_use_enforced=True)
    return {"http": http, **network}


class Callers:
    """One client for each identity, with certificates of its own."""

    def __init__(self, authority: Authority, port: int) -> None:
        self.files: dict[SpiffeId, Files] = {
            caller: authority.issue(str(caller)) for caller in [*CALLERS, PROBE]
        }
        self.http1 = {
            caller: Http1Client(port, client_context(files, alpn="http/1.1"))
            for caller, files in self.files.items()
        }
        self.http2: dict[SpiffeId, ssl.SSLContext] = {
            caller: client_context(files, alpn="h2") for caller, files in self.files.items()
        }

    def wait_for(self, policy_number: int) -> None:
        """Ask until the worker, which follows the acknowledgement, has the policy of that number."""
        probe = self.http1[PROBE]
        while probe.ask("GET", f"/version/{policy_number}").status != 200:
            pass


@contextmanager
def _callers(proxy: Proxy) -> Iterator[Callers]:
    callers = Callers(proxy.authority, proxy.http)
    try:
        yield callers
    finally:
        for client in callers.http1.values():
            client.close()


class Asked(NamedTuple):
    """One case, and whether the evaluator and the token's verification let it pass."""

    what: HttpRequest | Connection
    token: Token | None
    allowed: bool


def _disagreements(
    cases: Cases, policy: AccessPolicy, proxy: Proxy, callers: Callers
) -> Iterator[tuple[Asked, object]]:
    """Yield one pair (what was asked, None or what differs) for each case."""
    rules = {rule.name: rule for rule in policy.services["callee"].accepts}
    for _ in range(REQUESTS):
        request, token = cases.request(policy)
        claims = token.claims if token else None
        lines = [f"{HEADER}: {token.text}"] if token else []
        answer = callers.http1[request.source].ask(request.method, request.path, *lines)
        decision = decide(policy, request, claims)
        allowed = decision.allowed and not (token and token.refused)
        agree = (answer.status == 200) == allowed
        if agree and allowed:  # and the rule it names is one that allows
            named = rules.get((answer.rule or "").removesuffix(ONCE))
            agree = named is not None and not misses(named, request, claims)
        yield Asked(request, token, allowed), None if agree else (answer, decision)
    for _ in range(ODD_REQUESTS):
        request, token = cases.odd_request(policy)
        fields = [(":method", request.method), (":scheme", "https"), (":authority", "callee")]
        fields += [(":path", request.path)] if request.path else []
        fields += [(HEADER, token.text)] if token else []
        passed = ask_http2(proxy.http, callers.http2[request.source], fields)
        allowed = decide(policy, request, token.claims if token else None).allowed
        allowed = allowed and not (token and token.refused)
        yield Asked(request, token, allowed), None if passed == allowed else (passed, allowed)
    for _ in range(CONNECTIONS):
        connection: Connection = cases.connection()
        context = callers.http2[connection.source]
        passed = echoes(proxy.tcp[connection.port], context)
        allowed = decide(policy, connection).allowed
        yield Asked(connection, None, allowed), None if passed == allowed else (passed, allowed)


async def test_thousands_of_generated_policies_and_requests_get_the_same_answer(
    tmp_path: Path,
) -> None:
    tokens = TokenService()
    cases = Cases(seed=20, tokens=tokens)
    asked: list[Asked] = []
    wrong = []
    first = cases.policy(0)
    async with running_proxy(tmp_path, _filters(first), [tokens.filter()]) as proxy:
        with _callers(proxy) as callers:
            for number in range(POLICIES):
                policy = cases.policy(number) if number else first
                assert not await proxy.swap(_filters(policy))
                await asyncio.to_thread(callers.wait_for, number)
                found = await asyncio.to_thread(list, _disagreements(cases, policy, proxy, callers))
                asked += [case for case, _ in found]
                wrong += [(policy, *pair) for pair in found if pair[1] is not None]
    assert not wrong, f"{len(wrong)} of {len(asked)}; first: {wrong[0]}"
    assert len(asked) >= 5000
    for cases_alike in (asked, [case for case in asked if case.token]):
        allowed = sum(case.allowed for case in cases_alike)
        assert 0.2 < allowed / len(cases_alike) < 0.8  # both answers, not only the easy one


LEDGER = b"""
apiVersion: meshwarden.dev/v1
trust_domain: bank.example
services:
  callee:
    identity: spiffe://bank.example/callee
    accepts:
      - {from: ["spiffe://bank.example/probe"]}
      - from: ["spiffe://bank.example/ns/core/sa/payments"]
        methods: [POST]
        paths: [/bank.Ledger/Post, "/bank.Reports/{method}"]
      - {from: ["spiffe://bank.example/ns/core/sa/payments"], tcp: 5432}
      - {from: ["spiffe://bank.example/ns/core/sa/payments"], tcp: 6379}
"""


@pytest.fixture
def ledger() -> AccessPolicy:
    return parse_policy(parse_document(LEDGER, name="ledger.yaml"))


async def test_grpc_calls_pass_by_their_path_and_others_are_refused_as_grpc_knows_it(
    tmp_path: Path, ledger: AccessPolicy
) -> None:
    async with running_proxy(tmp_path, _filters(ledger)) as proxy:
        for caller, path, passes in [
            (CALLERS[0], "/bank.Ledger/Post", True),
            (CALLERS[0], "/bank.Reports/Daily", True),
            (CALLERS[0], "/bank.Ledger/Erase", False),
            (CALLERS[0], "/bank.Ledger/Post/x", False),
            (CALLERS[1], "/bank.Ledger/Post", False),
        ]:
            code = await _grpc_status(proxy, caller, path)
            assert (code is not grpc.StatusCode.PERMISSION_DENIED) == passes, (caller, path, code)


async def _grpc_status(proxy: Proxy, caller: SpiffeId, path: str) -> grpc.StatusCode:
    certificate, key = proxy.authority.issue(str(caller))
    credentials = grpc.ssl_channel_credentials(
        proxy.authority.certificate.read_bytes(), key.read_bytes(), certificate.read_bytes()
    )
    options = [("grpc.ssl_target_name_override", "callee")]
    target = f"127.0.0.1:{proxy.http}"
    async with grpc.aio.secure_channel(target, credentials, options=options) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as error:  # no gRPC service answers behind it
            await channel.unary_unary(path, bytes, bytes)(b"", timeout=60)
        return error.value.code()


async def test_requests_without_a_path_or_with_two_identities_never_pass(
    tmp_path: Path, ledger: AccessPolicy
) -> None:
    async with running_proxy(tmp_path, _filters(ledger)) as proxy:
        probe = proxy.authority.issue(str(PROBE))
        both = proxy.authority.issue(str(PROBE), str(CALLERS[0]))

        def passed() -> list[bool]:
            context = client_context(probe, alpn="h2")
            start = [(":method", "POST"), (":scheme", "https"), (":authority", "callee")]
            of_both = Http1Client(proxy.http, client_context(both, alpn="http/1.1"))
            found = [
                ask_http2(proxy.http, context, start),
                ask_http2(proxy.http, context, [*start, (":path", "*")]),
                ask_http2(proxy.http, context, [*start, (":path", "")]),
                ask_http2(proxy.http, context, [*start, (":path", "/a"), (":path", "/b")]),
                ask_http2(proxy.http, context, [(":method", "CONNECT"), (":authority", "x:1")]),
                of_both.ask("GET", "/").status == 200,
                echoes(proxy.tcp[5432], client_context(both, alpn="h2")),
            ]
            of_both.close()
            control = [*start, (":path", "/\xff?\\")]  # any clean path may: what follows is a guard
            assert ask_http2(proxy.http, context, control)
            return found

        assert await asyncio.to_thread(passed) == [False] * 7


async def test_envoy_refuses_exactly_the_paths_that_have_no_normal_form(
    tmp_path: Path, ledger: AccessPolicy
) -> None:
    vectors = json.loads(VECTORS.read_text("utf-8"))
    # What HTTP/1.1 cannot carry, or carries in another form, is in the generated HTTP/2 requests.
    raw_paths = [v["raw"] for v in vectors if v["raw"].isascii() and "://" not in v["raw"]]
    async with running_proxy(tmp_path, _filters(ledger)) as proxy:
        files = proxy.authority.issue(str(PROBE))  # whom any clean path is allowed

        def passed() -> list[bool]:
            client = Http1Client(proxy.http, client_context(files, alpn="http/1.1"))
            found = [client.ask("GET", raw).status == 200 for raw in raw_paths]
            client.close()
            return found

        wanted = [normalize_path(raw) is not None for raw in raw_paths]
        found = await asyncio.to_thread(passed)
        assert [
            raw for raw, one, other in zip(raw_paths, wanted, found, strict=True) if one != other
        ] == []


async def test_an_odd_method_over_http1_is_refused_before_policy_or_by_it(
    tmp_path: Path, ledger: AccessPolicy
) -> None:
    async with running_proxy(tmp_path, _filters(ledger)) as proxy:
        files = proxy.authority.issue(str(CALLERS[0]))

        def statuses() -> set[int | None]:
            client = Http1Client(proxy.http, client_context(files, alpn="http/1.1"))
            odd = ["BREW", "get", "post", "P OST", "POST\tx", "CONNECT", *METHODS]
            found = {client.ask(method, "/bank.Ledger/Post").status for method in odd} - {200}
            assert client.ask("POST", "/bank.Ledger/Post").status == 200
            client.close()
            return found

        assert await asyncio.to_thread(statuses) <= {400, 403, 404, None}


async def test_a_swap_reaches_an_open_connection_without_closing_it(
    tmp_path: Path, ledger: AccessPolicy
) -> None:
    closed = parse_policy(
        parse_document(LEDGER.replace(b"/bank.Ledger/Post, ", b""), name="closed.yaml")
    )
    async with running_proxy(tmp_path, _filters(ledger)) as proxy:
        files = proxy.authority.issue(str(CALLERS[0]))
        client = Http1Client(proxy.http, client_context(files, alpn="http/1.1"))

        def until(status: int) -> bool:
            while client.ask("POST", "/bank.Ledger/Post").status != status:
                pass
            return True

        assert await asyncio.to_thread(until, 200)
        assert not await proxy.swap(_filters(closed))
        assert await asyncio.to_thread(until, 403)
        assert not await proxy.swap(_filters(ledger))
        assert await asyncio.to_thread(until, 200)
        client.close()
