"""The control plane's own API: JSON over HTTP on a Unix socket that only its user can open.

- `GET /v1/status`: sidecars, policy, live figures.
- `POST /v1/policy/reload`: push the policy file as it stands; 422 and why where it is refused.
- `/v1/identity`: see `identity_api`.
- `/v1/behaviour`: see `behaviour_api`.
- `/v1/incidents`: see `incident_api`.
- `GET /metrics`: see `metrics_api`.
- `POST /v1/calls/flush`: write every call that is known by now to the Parquet store.
"""

import contextlib
import dataclasses
from collections.abc import AsyncIterator
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from meshwarden.console.behaviour_api import behaviour_routes
from meshwarden.console.identity_api import identity_routes
from meshwarden.console.incident_api import incident_routes
from meshwarden.console.metrics_api import metrics_routes
from meshwarden.console.signals_api import SignalsApi, build_signals_app
from meshwarden.console.token_admin import token_routes
from meshwarden.console.token_api import TokenApi
from meshwarden.console.unix import served
from meshwarden.control.plane import ControlPlane
from meshwarden.control.response.responding import Responding


def build_api(plane: ControlPlane, response: Responding | None = None) -> Starlette:
    """Return the application that answers for `plane`, and for its incidents where there are."""

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
            *token_routes(plane),
            *behaviour_routes(plane),
            *metrics_routes(plane, response),
            *(incident_routes(response) if response else []),
        ]
    )


@contextlib.asynccontextmanager
async def serving(plane: ControlPlane, response: Responding, socket: Path) -> AsyncIterator[None]:
    """Serve the API of `plane` on `socket` while the context lasts."""
    async with served(build_api(plane, response), socket, mode=0o600):
        yield


@contextlib.asynccontextmanager
async def serving_tokens(plane: ControlPlane) -> AsyncIterator[None]:
    """Serve the token service of `plane`, where it has one, to its sidecar.

    The directory belongs to this account, or to the sidecar's group, whom the mode lets in.
    """
    if plane.tokens is None or plane.mesh.tokens is None:
        yield
        return
    socket = plane.layout.app_socket(plane.mesh.tokens.service)
    signals = SignalsApi(receiver=plane.tokens.receiver, transmitter=plane.tokens.transmitter)
    app = TokenApi(plane.tokens.service, others=build_signals_app(signals))
    async with served(app, socket, mode=0o660):
        yield
