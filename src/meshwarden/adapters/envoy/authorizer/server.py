"""The authorizer's socket for one sidecar, over gRPC: bounded, and nothing but what Envoy asks.

The socket, not what is said on it, decides whose questions these are. Each question is answered in
the time that Envoy waits, or given up; what it began (fetching an issuer's keys) goes on.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import grpc
from envoy.service.accesslog.v3 import als_pb2_grpc
from envoy.service.accesslog.v3.als_pb2 import StreamAccessLogsMessage, StreamAccessLogsResponse
from envoy.service.auth.v3 import external_auth_pb2_grpc
from envoy.service.auth.v3.external_auth_pb2 import CheckRequest, CheckResponse
from envoy.service.ext_proc.v3 import external_processor_pb2_grpc
from envoy.service.ext_proc.v3.external_processor_pb2 import ProcessingRequest, ProcessingResponse

from meshwarden.adapters.envoy.authorizer import codec
from meshwarden.adapters.envoy.authorizer.ports import Decider
from meshwarden.adapters.envoy.grpc_socket import serve_on
from meshwarden.tokens import OAuthError
from meshwarden.tokens.challenge import Refusal, refusal_of

MAX_MESSAGE_BYTES: Final = 128 * 1024  # 60 KiB of headers, 16 KiB of body, and what is around them
MAX_AT_ONCE: Final = 1000
_OPTIONS: Final[list[tuple[str, Any]]] = [
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_concurrent_streams", MAX_AT_ONCE),
]
_Context = grpc.aio.ServicerContext[Any, Any]


@dataclass(kw_only=True)
class AuthorizerServer:
    """The sockets of a mesh's authorizer."""

    _servers: list[grpc.aio.Server] = field(init=False, default_factory=list)

    async def open(self, decider: Decider, socket: Path, *, uid: int | None = None) -> None:
        """Answer one sidecar on `socket`; DependencyError `authorizer.socket` where that fails.

        The socket is for the user `uid` alone, or for this process's own.
        """
        server = grpc.aio.server(options=_OPTIONS, maximum_concurrent_rpcs=MAX_AT_ONCE)
        external_auth_pb2_grpc.add_AuthorizationServicer_to_server(_Checks(decider), server)
        external_processor_pb2_grpc.add_ExternalProcessorServicer_to_server(_Holds(decider), server)
        als_pb2_grpc.add_AccessLogServiceServicer_to_server(_Refusals(decider), server)
        await serve_on(socket, server, uid=uid, code="authorizer.socket")
        self._servers.append(server)

    async def close(self) -> None:
        """Stop answering: edges refuse from now on."""
        await asyncio.gather(*(server.stop(grace=0) for server in self._servers))
        self._servers.clear()


class _Checks(external_auth_pb2_grpc.AuthorizationServicer):
    """Questions before a request is let pass."""

    def __init__(self, decider: Decider) -> None:
        self._decider = decider

    async def Check(  # noqa: N802  # the protocol's name
        self, question: CheckRequest, context: _Context
    ) -> CheckResponse:
        del context
        if not codec.is_entry(question):
            refusal = await self._decider.spend(codec.token_of(question))
            return codec.render_passed() if refusal is None else codec.render_refusal(refusal)
        asked = codec.parse_entry_request(question)
        if isinstance(asked, OAuthError):
            return codec.render_refusal(refusal_of(asked, ()))
        answer = await self._decider.enter(asked)
        if isinstance(answer, Refusal):
            return codec.render_refusal(answer)
        return codec.render_entered(answer)


class _Holds(external_processor_pb2_grpc.ExternalProcessorServicer):
    """Failed responses, held at the edge."""

    def __init__(self, decider: Decider) -> None:
        self._decider = decider

    async def Process(  # noqa: N802  # the protocol's name
        self, requests: AsyncIterator[ProcessingRequest], context: _Context
    ) -> AsyncIterator[ProcessingResponse]:
        async for request in requests:
            if not request.HasField("response_headers"):
                await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "response headers alone")
            transaction = codec.transaction_of(request)
            held = None if transaction is None else await self._decider.hold(transaction)
            yield codec.render_processed(held)


class _Refusals(als_pb2_grpc.AccessLogServiceServicer):
    """What a sidecar refuses, as it refuses it."""

    def __init__(self, decider: Decider) -> None:
        self._decider = decider

    async def StreamAccessLogs(  # noqa: N802  # the protocol's name
        self, messages: AsyncIterator[StreamAccessLogsMessage], context: _Context
    ) -> StreamAccessLogsResponse:
        del context
        async for message in messages:
            for refused in codec.refused_requests(message):
                self._decider.hear(refused)
        return StreamAccessLogsResponse()
