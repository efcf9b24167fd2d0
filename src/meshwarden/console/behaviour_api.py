"""The laboratory's part of the control plane's API: the bank's own time.

`POST /v1/behaviour/pace` with `{"at", "shows", "speed"}` (nanoseconds since the epoch, seconds of
the bank in a second). 409 unless the mesh file says `behaviour: {paced: true}`: nobody may shift
the times by which a mesh in earnest is judged.
"""

import json

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from meshwarden.control.plane import ControlPlane
from meshwarden.control.watching import Pace

_MAX_BODY: int = 1024


def behaviour_routes(plane: ControlPlane) -> list[Route]:
    """Return the routes that answer for the watch of `plane`."""

    async def _pace(request: Request) -> JSONResponse:
        watch = plane.watch
        if watch is None or not watch.holds:
            return _problem(409, "the watch goes by the clock, or has its pace")
        try:
            pace = _parse_pace(await _body(request))
        except (ValueError, KeyError, TypeError, RecursionError):
            return _problem(422, "at and shows are nanoseconds, speed a number above 0")
        watch.set_pace(pace)
        return JSONResponse({"paced": True})

    return [Route("/v1/behaviour/pace", _pace, methods=["POST"])]


async def _body(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MAX_BODY:
            raise ValueError("too long")
    return bytes(body)


def _parse_pace(raw: bytes) -> Pace:
    asked = json.loads(raw)
    return Pace(at=int(asked["at"]), shows=int(asked["shows"]), speed=float(asked["speed"]))


def _problem(status: int, detail: str) -> JSONResponse:
    problem = {"title": "pace refused", "detail": detail}
    return JSONResponse(problem, status, media_type="application/problem+json")
