"""An OTLP/gRPC receiver of spans on a socket: what exporters and collectors send to.

Spans go into a bounded queue; where that is full, the exporter is told to try again (OTLP,
"Retryable": UNAVAILABLE), so that memory stays bounded and nothing is dropped in silence.
"""

import queue
from concurrent import futures
from typing import Any, Final

import grpc

from meshwarden.adapters.opentelemetry.messages import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from meshwarden.adapters.opentelemetry.proto_codec import parse_request
from meshwarden.adapters.opentelemetry.span import Span
from meshwarden.kernel import DependencyError, InputError

_SERVICE: Final = "opentelemetry.proto.collector.trace.v1.TraceService"
_MAX_BYTES: Final = 4 * 1024 * 1024
_QUEUED: Final = 256
_GRACE_S: Final = 2.0


class OtlpReceiver:
    """Listens from its making on; close it.

    Args:
        address: `host:port` or `unix:/path`.

    Raises:
        DependencyError: `otlp.listen` where the address cannot be had.
    """

    def __init__(self, address: str) -> None:
        self._requests: queue.Queue[Any] = queue.Queue(_QUEUED)
        self._server = grpc.server(
            futures.ThreadPoolExecutor(max_workers=4, thread_name_prefix="otlp"),
            options=[("grpc.max_receive_message_length", _MAX_BYTES), ("grpc.so_reuseport", 0)],
        )
        self._server.add_generic_rpc_handlers((self._handlers(),))
        try:
            self.port = self._server.add_insecure_port(address)
        except RuntimeError as error:
            raise DependencyError(
                "otlp.listen",
                f"{address} cannot be listened on",
                hint="is another collector there?",
            ) from error
        self._server.start()

    def _handlers(self) -> "grpc.GenericRpcHandler[Any, Any]":
        export = grpc.unary_unary_rpc_method_handler(
            self._export,
            request_deserializer=ExportTraceServiceRequest.FromString,
            response_serializer=ExportTraceServiceResponse.SerializeToString,
        )
        return grpc.method_handlers_generic_handler(_SERVICE, {"Export": export})

    def _export(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: ANN401
        """Take the spans, or say that there is no room now."""
        try:
            self._requests.put_nowait(request)
        except queue.Full:
            context.abort(grpc.StatusCode.UNAVAILABLE, "busy, try again")
        return ExportTraceServiceResponse()

    def read(self, timeout_s: float) -> list[Span | InputError]:
        """Return the spans of the next request; none where none came in time."""
        try:
            return list(parse_request(self._requests.get(timeout=timeout_s)))
        except queue.Empty:
            return []

    def close(self) -> None:
        """Stop listening; what was taken can still be read."""
        self._server.stop(_GRACE_S).wait()
