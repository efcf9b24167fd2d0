"""A remote authorizer that does nothing: the least that an `ext_authz` call in Python can cost.

Run as `python -m benchmarks.authorizer SOCKET`; allows every request.
"""

import asyncio
import sys

import grpc
from envoy.service.auth.v3 import external_auth_pb2 as authorization
from envoy.service.auth.v3 import external_auth_pb2_grpc as service

ALLOWED = authorization.CheckResponse(ok_response=authorization.OkHttpResponse())


class Authorizer(service.AuthorizationServicer):  # type: ignore[misc]  # generated, without types
    """Answers each check at once."""

    async def Check(  # noqa: N802  # the protocol's name
        self, request: authorization.CheckRequest, context: object
    ) -> authorization.CheckResponse:
        """Return that the request may pass."""
        del request, context
        return ALLOWED


async def serve(socket: str) -> None:
    """Serve on the Unix socket until the process is ended."""
    server = grpc.aio.server()
    service.add_AuthorizationServicer_to_server(Authorizer(), server)
    server.add_insecure_port(f"unix:{socket}")
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1]))
