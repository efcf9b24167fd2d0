"""A service forwards the token of the request that it handles, and only inside the mesh."""

import asyncio
from collections.abc import Iterable
from typing import Any

import httpx

from meshwarden.propagate import (
    TransactionMiddleware,
    WsgiTransactionMiddleware,
    current_token,
    forward,
    forward_async,
    handling,
)

TOKEN = "a.b.c"


def sent(url: str, *, token: str | None = TOKEN, given: dict[str, str] | None = None) -> str | None:
    seen: list[str | None] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers.get("txn-token"))
        return httpx.Response(200)

    client = httpx.Client(transport=httpx.MockTransport(answer), event_hooks={"request": [forward]})
    with handling(token), client:
        client.get(url, headers=given)
    return seen[0]


def test_the_token_goes_to_services_of_the_mesh_and_nowhere_else() -> None:
    assert sent("http://ledger/v1/transfers") == "a.b.c"
    for outside in (
        "https://api.cardnetwork.example/",
        "http://10.0.0.1/",
        "http://localhost/",
        "http://[::1]/",
    ):
        assert sent(outside, given={"Txn-Token": "a.b.c"}) is None
    assert sent("http://ledger/", token=None) is None
    assert sent("http://ledger/", token="x" * 9000) is None


def test_a_redirect_out_of_the_mesh_loses_the_token() -> None:
    seen: dict[str, str | None] = {}

    def answer(request: httpx.Request) -> httpx.Response:
        seen[request.url.host] = request.headers.get("txn-token")
        moved = {"location": "https://evil.example/"}
        return (
            httpx.Response(302, headers=moved)
            if request.url.host == "ledger"
            else httpx.Response(200)
        )

    client = httpx.Client(
        transport=httpx.MockTransport(answer),
        event_hooks={"request": [forward]},
        follow_redirects=True,
    )
    with handling("a.b.c"), client:
        client.get("http://ledger/")
    assert seen == {"ledger": "a.b.c", "evil.example": None}


async def test_requests_that_are_handled_at_the_same_time_keep_their_tokens_apart() -> None:
    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        await asyncio.sleep(0)
        transport = httpx.MockTransport(
            lambda request: httpx.Response(200, text=request.headers.get("txn-token", "-"))
        )
        async with httpx.AsyncClient(
            transport=transport, event_hooks={"request": [forward_async]}
        ) as client:
            answer = await client.get("http://ledger/")
        await send({"type": "x", "body": answer.text})

    async def one(*tokens: str) -> str:
        found: list[str] = []

        async def send(message: Any) -> None:
            found.append(message["body"])

        headers = [(b"txn-token", token.encode()) for token in tokens]
        await TransactionMiddleware(app)({"type": "http", "headers": headers}, None, send)  # type: ignore[arg-type]
        return found[0]

    found = await asyncio.gather(one("t1"), one("t2"), one(), one("t3", "t4"))
    assert list(found) == [
        "t1",
        "t2",
        "-",
        "-",
    ]
    assert current_token() is None


def test_wsgi_remembers_until_the_answer_is_sent() -> None:
    def app(_environ: dict[str, Any], _start: Any) -> Iterable[bytes]:
        yield (current_token() or "-").encode()

    def ask(environ: dict[str, Any]) -> bytes:
        return b"".join(WsgiTransactionMiddleware(app)(environ, None))

    assert ask({"HTTP_TXN_TOKEN": "t1"}) == b"t1"
    assert ask({"HTTP_TXN_TOKEN": "t1,t2"}) == ask({}) == b"-"
    assert current_token() is None
