"""The control plane's own API: JSON over HTTP on a Unix socket that only its user can open.

- `GET /v1/status`: sidecars, policy, live figures.
- `POST /v1/policy/reload`: push the policy file as it stands; 422 and why where it is refused.
- `/v1/identity`: see `identity_api`.
- `/v1/behaviour`: see `behaviour_api`.
- `POST /v1/calls/flush`: write every call that is known by now to the Parquet store.
"""

import asyncio
import contextlib
import dataclasses
import socket as socketlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from meshwarden.console.behaviour_api import behaviour_routes
from meshwarden.console.identity_api import identity_routes
from meshwarden.control.plane import ControlPlane


def build_api(plane: ControlPlane) -> Starlette:
    """Return the application that answers for `plane`."""

    async def _status(_: Request) -> JSONResponse:
        return JSONResponse(dataclasses.asdict(plane.status()))

    async def _reload(_: Request) -> JSONResponse:
        error = await plane.reload_policy()
        if error is not None:
            problem = {"title": "policy refused", "detail": error}
            return JSONResponse(problem, 422, media_type="application/problem+json")
        return JSONResponse({"policy": plane.status().policy})

    async def _flush(_: Request) -> JSONResponse:
        figures = await plane.recorder.flush()
        return JSONResponse({"calls": figures.totals.calls})

    return Starlette(
        routes=[
            Route("/v1/status", _status),
            Route("/v1/policy/reload", _reload, methods=["POST"]),
            Route("/v1/calls/flush", _flush, methods=["POST"]),
            *identity_routes(plane),
            *behaviour_routes(plane),
        ]
    )


class _Server(uvicorn.Server):
    """A server that leaves signals to the program it is part of."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield


def _private_listener(path: Path) -> socketlib.socket:
    """Return a listening socket that only this user can open; uvicorn's own is open to all."""
    listener = socketlib.socket(socketlib.AF_UNIX, socketlib.SOCK_STREAM)
    listener.bind(str(path))  # nobody gets in before it listens
    path.chmod(0o600)
    listener.listen()
    return listener


@contextlib.asynccontextmanager
async def serving(plane: ControlPlane, socket: Path) -> AsyncIterator[None]:
    """Serve the API of `plane` on `socket` while the context lasts."""
    await asyncio.to_thread(socket.unlink, missing_ok=True)
    config = uvicorn.Config(build_api(plane), log_config=None, access_log=False, lifespan="off")
    server = _Server(config)
    task = asyncio.create_task(server.serve(sockets=[_private_listener(socket)]))
    try:
        yield
    finally:
        server.should_exit = True
        await task
