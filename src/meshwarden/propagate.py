"""Forwards the transaction token: from the request that a service handles to those that it makes.

The whole of it, in any language:

1. When a request comes in, take its `Txn-Token` header: exactly one, at most 8 KiB. With two, none.
2. Remember it for this request alone (a context variable, a thread local, a request object).
3. Set it, unchanged, on each request that is made while that one is handled, and only on those to
   services of the mesh: their names have no dot. Redirects elsewhere lose it.
4. Never store, log or show it.

A service need not verify it: its sidecar has. Standard library only; `httpx` and `requests` are
used if the service has them.

    app = TransactionMiddleware(app)                               # ASGI
    app = WsgiTransactionMiddleware(app)                           # WSGI
    client = httpx.AsyncClient(event_hooks={"request": [forward_async]})
    client = httpx.Client(event_hooks={"request": [forward]})
    session = requests.Session(); session.auth = forward           # requests
"""

import contextlib
from collections.abc import Awaitable, Callable, Iterable, Iterator, MutableMapping
from contextvars import ContextVar
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

HEADER: Final = "Txn-Token"
MAX_BYTES: Final = 8192
_current: ContextVar[str | None] = ContextVar("meshwarden_txn_token", default=None)
_Scope = MutableMapping[str, Any]
_Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
_Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
_Request = TypeVar("_Request")


def current_token() -> str | None:
    """Return the token of the request that is handled now; None where it has none."""
    return _current.get()


@contextlib.contextmanager
def handling(token: str | None) -> Iterator[None]:
    """Handle one request that came with `token`: for queues and other ways in."""
    mark = _current.set(token if token and len(token) <= MAX_BYTES else None)
    try:
        yield
    finally:
        _current.reset(mark)


class TransactionMiddleware:
    """ASGI: remembers the token of each request while the application handles it."""

    def __init__(self, app: Callable[[_Scope, _Receive, _Send], Awaitable[None]]) -> None:
        self._app = app

    async def __call__(self, scope: _Scope, receive: _Receive, send: _Send) -> None:
        """Handle one connection."""
        headers: Iterable[tuple[bytes, bytes]] = scope.get("headers", ())
        found = [value for name, value in headers if name == b"txn-token"]
        with handling(found[0].decode("latin-1") if len(found) == 1 else None):
            await self._app(scope, receive, send)


class WsgiTransactionMiddleware:
    """WSGI: remembers the token of each request while the application handles it."""

    def __init__(self, app: Callable[[dict[str, Any], Any], Iterable[bytes]]) -> None:
        self._app = app

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:  # noqa: ANN401
        """Handle one request; the token is remembered until its answer has been sent."""
        token = environ.get("HTTP_TXN_TOKEN", "")
        with handling(None if "," in token else token):  # servers join double headers by a comma
            answer = self._app(environ, start_response)
            try:
                yield from answer
            finally:
                close = getattr(answer, "close", None)
                if close is not None:
                    close()


def forward(request: _Request) -> _Request:
    """Set the token on a request of `httpx` or `requests`; take it off one that leaves the mesh."""
    made: Any = request
    token = _current.get()
    made.headers.pop(HEADER, None)
    if token is not None and _is_inside(str(made.url)):
        made.headers[HEADER] = token
    return request


async def forward_async(request: Any) -> None:  # noqa: ANN401  # of httpx, which may be absent
    """Do as `forward` does, for clients that await."""
    forward(request)


def _is_inside(url: str) -> bool:
    """Return whether `url` leads to a service of the mesh: its name has no dot and no colon."""
    host = urlsplit(url).hostname or ""
    return bool(host) and "." not in host and ":" not in host and host != "localhost"
