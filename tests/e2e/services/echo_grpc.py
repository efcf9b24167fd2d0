"""A gRPC service without generated code: sends back every message of `/test.Echo/Say`."""

import os
from concurrent.futures import ThreadPoolExecutor

import grpc


def say(request: bytes, context: grpc.ServicerContext) -> bytes:  # noqa: ARG001
    return request


server = grpc.server(ThreadPoolExecutor(4))
method = grpc.unary_unary_rpc_method_handler(say)
server.add_generic_rpc_handlers(
    (grpc.method_handlers_generic_handler("test.Echo", {"Say": method}),)
)
server.add_insecure_port("unix:" + os.environ["MESHWARDEN_SOCKET"])
server.start()
server.wait_for_termination()
