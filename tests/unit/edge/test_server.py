"""The authorizer's socket, asked by what is no Envoy."""

import stat
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
from envoy.service.auth.v3 import external_auth_pb2_grpc
from envoy.service.auth.v3.external_auth_pb2 import CheckRequest
from envoy.service.ext_proc.v3 import external_processor_pb2_grpc
from envoy.service.ext_proc.v3.external_processor_pb2 import ProcessingRequest

from meshwarden.adapters.envoy.authorizer.ports import Entered, RefusedRequest
from meshwarden.adapters.envoy.authorizer.server import MAX_MESSAGE_BYTES, AuthorizerServer
from meshwarden.kernel import DependencyError
from meshwarden.tokens import UnverifiedToken
from meshwarden.tokens.challenge import Refusal, unavailable, used_before
from meshwarden.tokens.edge import EdgeRequest


class Decider:
    """Lets in who says so, and nobody twice."""

    def __init__(self) -> None:
        self.spent: set[str] = set()

    async def enter(self, asked: EdgeRequest) -> Entered | Refusal:
        if asked.authorization != "Bearer good":
            return unavailable("test.refused")
        return Entered(token=UnverifiedToken("t"), transaction="x")

    async def spend(self, unverified: UnverifiedToken) -> Refusal | None:
        if unverified.reveal() in self.spent:
            return used_before("once.used")
        self.spent.add(unverified.reveal())
        return None

    def hear(self, refused: RefusedRequest) -> None:
        raise AssertionError(refused)

    async def hold(self, transaction: str) -> Refusal | None:
        return used_before(transaction)


@pytest.fixture
async def channel(tmp_path: Path) -> AsyncIterator[grpc.aio.Channel]:
    server = AuthorizerServer()
    await server.open(Decider(), tmp_path / "a.sock")
    assert stat.S_IMODE((tmp_path / "a.sock").stat().st_mode) == 0o600
    async with grpc.aio.insecure_channel(f"unix:{tmp_path}/a.sock") as found:
        yield found
    await server.close()


async def test_it_answers_what_envoy_asks(channel: grpc.aio.Channel) -> None:
    stub = external_auth_pb2_grpc.AuthorizationStub(channel)
    question = CheckRequest()
    question.attributes.context_extensions["scopes"] = "a"
    assert (await stub.Check(question)).denied_response.status.code == 503
    question.attributes.request.http.headers["authorization"] = "Bearer good"
    assert (await stub.Check(question)).ok_response.headers[0].header.value == "t"
    once = CheckRequest()
    once.attributes.request.http.headers["txn-token"] = "t"
    assert not (await stub.Check(once)).HasField("denied_response")
    assert (await stub.Check(once)).denied_response.status.code == 403


async def test_a_question_too_large_is_refused(channel: grpc.aio.Channel) -> None:
    stub = external_auth_pb2_grpc.AuthorizationStub(channel)
    question = CheckRequest()
    question.attributes.request.http.raw_body = b"x" * (MAX_MESSAGE_BYTES + 1)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.Check(question)
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_only_response_headers_are_held(channel: grpc.aio.Channel) -> None:
    stub = external_processor_pb2_grpc.ExternalProcessorStub(channel)
    odd = ProcessingRequest()
    odd.request_body.body = b"x"
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        async for _ in stub.Process(iter([odd])):
            pass
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_socket_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    with pytest.raises(DependencyError, match="nowhere") as refused:
        await AuthorizerServer().open(Decider(), tmp_path / "nowhere" / "a.sock")
    assert refused.value.code == "authorizer.socket"
