"""The webhook over HTTP on a Unix socket; Envoy in front of it speaks TLS.

- `POST /validate`: an AdmissionReview; 400 where it is malformed, which the API server takes as a
  failure and, with `failurePolicy: Fail`, refuses the object.
- `GET /healthz`: 200 while it answers.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import structlog
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from meshwarden.console.unix import served
from meshwarden.control.gate.admission import Admitter
from meshwarden.kernel import InputError, MeshwardenError
from meshwarden.policy.gate.admission import MAX_BYTES

_log = structlog.get_logger()


def build_webhook(admitter: Admitter) -> Starlette:
    """Return the application that answers for `admitter`."""

    async def _validate(request: Request) -> Response:
        try:
            raw = await _body(request)
            answer = await asyncio.to_thread(admitter.answer, raw)
        except InputError as error:
            _log.warning("review_refused", code=error.code, error=str(error))
            return _problem(400, error)
        except MeshwardenError as error:
            _log.error("review_failed", code=error.code, error=str(error))
            return _problem(500, error)
        return JSONResponse(answer)

    async def _health(_: Request) -> Response:
        return JSONResponse({"status": "ok"})

    return Starlette(
        routes=[Route("/validate", _validate, methods=["POST"]), Route("/healthz", _health)]
    )


async def _body(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BYTES:
            raise InputError("admission.too_large", "the review is too large", where="review")
    return bytes(body)


def _problem(status: int, error: MeshwardenError) -> Response:
    problem = {"title": error.code, "detail": str(error)}
    return JSONResponse(problem, status, media_type="application/problem+json")


@contextlib.asynccontextmanager
async def serving_webhook(admitter: Admitter, socket: Path) -> AsyncIterator[None]:
    """Serve the webhook on `socket` while the context lasts."""
    async with served(build_webhook(admitter), socket, mode=0o600):
        yield
