"""The watch's part of the control plane's API: what people called benign, and the bank's own time.

- `GET /v1/behaviour/verdicts`: all that are kept, the newest last.
- `POST /v1/behaviour/verdicts` with `{"source", "destination"?, "channel"?, "days", "reason",
  "who"}`: hold alarms back; services go by their names, too, others by SPIFFE ID or external:HOST
  in full. It is kept and told when it answers.

For the laboratory: `POST /v1/behaviour/pace` with `{"at", "shows", "speed"}` (nanoseconds since the
epoch, seconds of the bank in a second). 409 unless the mesh file says `behaviour: {paced: true}`:
nobody may shift the times by which a mesh in earnest is judged.
"""

import json
from functools import partial
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from meshwarden.behaviour import Verdict
from meshwarden.console.identity_api import answering, read_object
from meshwarden.control.plane import ControlPlane
from meshwarden.control.watching import Pace, Watch
from meshwarden.control.watching.findings import nanoseconds
from meshwarden.control.watching.verdicts import party_of, verdict_object, verdict_of
from meshwarden.kernel import InputError

_MAX_BODY: Final = 1024
_VERDICT: Final[dict[str, type]] = {
    "source": str, "destination": str, "channel": str, "days": int, "reason": str, "who": str,
}  # fmt: skip


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

    return [
        Route("/v1/behaviour/pace", _pace, methods=["POST"]),
        *(
            Route("/v1/behaviour/verdicts", answering(handler), methods=[method])
            for method, handler in (
                ("GET", partial(_list, plane)),
                ("POST", partial(_judge, plane)),
            )
        ),
    ]


async def _list(plane: ControlPlane, _: Request) -> dict[str, Any]:
    found = await _watch_of(plane).verdicts()
    return {"verdicts": [verdict_object(one) for one in found]}


async def _judge(plane: ControlPlane, request: Request) -> dict[str, Any]:
    watch = _watch_of(plane)
    verdict = _parse_verdict(await read_object(request, _VERDICT), plane)
    await watch.judge(verdict)
    return verdict_object(verdict)


def _watch_of(plane: ControlPlane) -> Watch:
    if plane.watch is None:
        raise InputError("behaviour.unwatched", "this mesh is not watched", where="mesh file")
    return plane.watch


def _parse_verdict(body: dict[str, Any], plane: ControlPlane) -> Verdict:
    services = plane.published.policy.services
    identities = [str(service.identity) for service in services.values()]

    def party(name: str) -> str | None:
        given: str | None = body.get(name)
        if given and given in services:
            return str(services[given].identity)
        return given and party_of(given, identities)

    source = party("source")
    if not source:
        raise InputError("behaviour.verdict", "names no source", where="request")
    return verdict_of(
        source,
        destination=party("destination"),
        channel=body.get("channel"),
        days=body.get("days", 0),
        reason=body.get("reason", ""),
        by=body.get("who", ""),
        now=nanoseconds(plane.clock),
    )


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
