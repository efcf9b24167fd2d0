"""What every service of the bank shares: problems as JSON, calls to the others, and the server.

Rules: an error is an RFC 9457 problem with a stable code; a body is bounded before it is parsed;
the others are reached through the environment's HTTP_PROXY by one shared client with timeouts; what
they fail with becomes 502, 503 or 504, their business answers (404, 409, 422) pass through. A
request's transaction token goes along on the calls that it causes. Nothing that a customer sent is
logged.
"""

import json
import os
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any, Final

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from meshwarden.propagate import TransactionMiddleware, forward_async

MAX_BODY_BYTES: Final = 16 * 1024
_PASSED_THROUGH: Final = frozenset({404, 409, 422})
# Longer than a sidecar keeps an idle connection: it closes first, no request meets a closing one.
_KEEP_ALIVE_S: Final = 3700

Json = dict[str, Any]
Handler = Callable[[Request], Awaitable[Response]]


class ProblemError(Exception):
    """An answer that is an error: `status`, a stable `code`, and one sentence."""

    def __init__(
        self, status: int, code: str, detail: str, *, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.headers = headers

    def response(self) -> Response:
        """Return it as RFC 9457 JSON."""
        return JSONResponse(
            {"status": self.status, "code": self.code, "detail": self.detail},
            status_code=self.status,
            headers=self.headers,
            media_type="application/problem+json",
        )


def build_service(
    routes: Sequence[Route],
    *,
    client: httpx.AsyncClient | None = None,
    lifespan: Callable[[], AbstractAsyncContextManager[None]] | None = None,
) -> Starlette:
    """Return an application with `/healthz`, problems for errors, `client` closed at the end."""

    @asynccontextmanager
    async def whole_life(_: Starlette) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            if client is not None:
                stack.push_async_callback(client.aclose)
            if lifespan is not None:
                await stack.enter_async_context(lifespan())
            yield

    return Starlette(
        routes=[Route("/healthz", _healthz), *routes],
        exception_handlers={ProblemError: _on_problem, HTTPException: _on_http_exception},
        middleware=[Middleware(TransactionMiddleware)],
        lifespan=whole_life,
    )


async def read_body(request: Request) -> bytes:
    """Return the request's body; ProblemError 413 where it is longer than MAX_BODY_BYTES."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise ProblemError(413, "input.too_large", f"more than {MAX_BODY_BYTES} bytes")
    return bytes(body)


async def read_json(request: Request) -> object:
    """Return the request's JSON; ProblemError 413 or 400 where it is too long or no JSON."""
    try:
        return json.loads(await read_body(request))
    except (ValueError, RecursionError) as error:
        raise ProblemError(400, "input.json", "the body is no JSON") from error


async def call(
    client: httpx.AsyncClient,
    method: str,
    url: str,
    *,
    body: Json | None = None,
    customer: str | None = None,
) -> Json:
    """Return the JSON object that another service answers; ProblemError where it does not.

    Args:
        client: from `outbound_client`.
        method: HTTP method.
        url: `http://<service>/<path>`.
        body: JSON to send.
        customer: on whose behalf; travels as X-Customer.
    """
    headers = {} if customer is None else {"x-customer": customer}
    response = await send(client, client.build_request(method, url, json=body, headers=headers))
    name = response.url.host
    if response.status_code in _PASSED_THROUGH:
        raise _relayed(response, name)
    if not response.is_success:
        status = response.status_code if response.status_code in {503, 504} else 502
        raise ProblemError(status, "upstream.failed", f"{name} answered {response.status_code}")
    return _object(response, name)


async def send(client: httpx.AsyncClient, request: httpx.Request) -> httpx.Response:
    """Return another service's answer, whatever its status; ProblemError 502, 503, 504 without."""
    name = request.url.host
    try:
        return await client.send(request)
    except httpx.TimeoutException as error:
        raise ProblemError(504, "upstream.timeout", f"{name} did not answer in time") from error
    except (httpx.NetworkError, httpx.ProxyError) as error:
        raise ProblemError(503, "upstream.unavailable", f"{name} cannot be reached") from error
    except httpx.HTTPError as error:
        raise ProblemError(502, "upstream.protocol", f"{name} answered no proper HTTP") from error


def outbound_client(*, timeout_s: float = 15.0) -> httpx.AsyncClient:
    """Return the one client of a service; it goes through the environment's HTTP_PROXY.

    No certificate authority is trusted: the bank speaks plain HTTP to its own sidecar, which is
    what authenticates the other side.
    """
    return httpx.AsyncClient(
        timeout=httpx.Timeout(timeout_s, connect=5.0),
        limits=httpx.Limits(max_connections=100, max_keepalive_connections=32),
        verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
        headers={"accept": "application/json", "accept-encoding": "identity"},
        event_hooks={"request": [forward_async]},
    )


def setting(name: str, default: str) -> str:
    """Return an environment variable, or `default` where it is not set or empty."""
    return os.environ.get(name) or default  # noqa: TID251  # the services' one entry point


def now_s() -> float:
    """Return the time of day, in seconds since the epoch."""
    return time.time()  # noqa: TID251  # the services' one entry point


def serve(app: Starlette) -> None:
    """Run `app` on the Unix socket MESHWARDEN_SOCKET, or on 127.0.0.1 at PORT, until SIGTERM."""
    socket = setting("MESHWARDEN_SOCKET", "")
    uvicorn.run(
        app,
        uds=socket or None,
        host="127.0.0.1",
        port=int(setting("PORT", "8080")),
        loop="asyncio",
        http="h11",
        ws="none",
        lifespan="on",
        access_log=False,
        log_level="warning",
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=5,
    )


async def _healthz(_: Request) -> Response:
    return JSONResponse({"status": "ok"})


def _on_problem(_: Request, error: Exception) -> Response:
    assert isinstance(error, ProblemError)  # noqa: S101  # registered for this class only
    return error.response()


def _on_http_exception(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101  # registered for this class only
    code = "route.unknown" if error.status_code == 404 else "request.refused"
    return ProblemError(error.status_code, code, error.detail, headers=error.headers).response()


def _object(response: httpx.Response, name: str) -> Json:
    try:
        found = response.json()
    except ValueError as error:
        raise ProblemError(502, "upstream.protocol", f"{name} answered no JSON") from error
    if not isinstance(found, dict):
        raise ProblemError(502, "upstream.protocol", f"{name} answered no JSON object")
    return found


def _relayed(response: httpx.Response, name: str) -> ProblemError:
    """Return another service's business answer as ours: its code and sentence, nothing else."""
    found = _object(response, name)
    code, detail = found.get("code"), found.get("detail")
    if not isinstance(code, str) or not isinstance(detail, str):
        raise ProblemError(
            502, "upstream.protocol", f"{name} answered {response.status_code} unexplained"
        )
    return ProblemError(response.status_code, code, detail)
