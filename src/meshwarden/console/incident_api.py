"""The incidents' part of the control plane's API.

- `GET /v1/incidents`: all, newest last; the guard rails; whether anything is done automatically.
- `GET /v1/incidents/ID`: one, with its record, and what its suspect reached since the first sign.
- `POST /v1/incidents/ID/simulate` `{"playbook"?}`: what following it would do now.
- `POST /v1/incidents/contain` `{"service", "playbook"?, "who"}`: because a person says so.
- `POST /v1/incidents/ID/approve` `{"action", "who"}`, `.../release` `{"who", "reason"?}`,
  `.../close` `{"who", "verdict"?}`, `.../note` `{"who", "text", "figures"?}`.
- `POST /v1/incidents/automatic` `{"on", "who"}`: act by oneself, or only observe.

Names (`who`) are what the caller says: whoever can open this socket is root on this machine.
"""

import asyncio
from dataclasses import dataclass
from typing import Any, Final

from starlette.requests import Request
from starlette.routing import Route

from meshwarden.adapters.storage.calls import load_calls
from meshwarden.console.identity_api import answering, read_object
from meshwarden.console.incident_view import (
    entry_object,
    foreseen_objects,
    incident_object,
    rails_object,
    touched_objects,
)
from meshwarden.control.response import Controller, Records
from meshwarden.control.response.opening import load_playbook
from meshwarden.control.response.responding import Responding
from meshwarden.kernel import InputError
from meshwarden.response import Incident, IncidentState, StepState, touched_by, verify_record

SETTLED_S: Final = 30.0
MAX_NAME: Final = 100
_HALTED: Final = {StepState.WAITING, StepState.STOPPED, StepState.FAILED}


@dataclass(kw_only=True)
class IncidentApi:
    """Answers for the incidents of `response`."""

    response: Responding

    @property
    def controller(self) -> Controller:
        """Who acts."""
        return self.response.controller

    @property
    def records(self) -> Records:
        """What is on record."""
        return self.response.controller.records

    async def list_all(self, _: Request) -> dict[str, Any]:
        """Return all incidents and the limits."""
        return {
            "automatic": self.records.deciding.automatic,
            "guard_rails": rails_object(self.records.deciding.rails),
            "left_out": self.response.left_out,
            "incidents": [incident_object(one) for one in self.records.incidents.values()],
        }

    async def show(self, request: Request) -> dict[str, Any]:
        """Return one with its record."""
        incident = self.records.get(request.path_params["id"])
        record = await asyncio.to_thread(self.records.store.load_record, incident.id)
        return incident_object(incident) | {
            "record": [entry_object(one) for one in record],
            "entries_verified": verify_record(record),
            "touched": touched_objects(await _touched(self.response, incident)),
        }

    async def simulate(self, request: Request) -> dict[str, Any]:
        """Return what a playbook would do."""
        body = await read_object(request, {"playbook": str})
        incident = self.records.get(request.path_params["id"])
        name = body.get("playbook") or incident.playbook
        if name is None:
            raise InputError("incident.playbook", "name a playbook", where="request")
        playbook = await asyncio.to_thread(load_playbook, name)
        foreseen = foreseen_objects(self.controller.simulate(incident, playbook))
        return {"id": incident.id, "playbook": name, "foreseen": foreseen}

    async def contain(self, request: Request) -> dict[str, Any]:
        """Follow a playbook because a person says so."""
        body = await _named(request, {"service": str, "playbook": str})
        service = body.get("service", "")
        if service not in self.response.plane.mesh.services:
            raise InputError(
                "incident.unknown_service",
                f"no service is called {service[:80]!r}",
                where="request",
                hint=f"known: {', '.join(self.response.plane.mesh.services)}",
            )
        suspect = self.response.suspecting.suspect(service)
        wanted = body.get("playbook", "quarantine")
        incident = await self.controller.contain(suspect, wanted, who=body["who"])
        return incident_object(await _settled(self.response, incident))

    async def approve(self, request: Request) -> dict[str, Any]:
        """Approve a step."""
        body = await _named(request, {"action": str})
        found = await self.controller.approve(
            request.path_params["id"], body.get("action", ""), who=body["who"]
        )
        return incident_object(found)

    async def release(self, request: Request) -> dict[str, Any]:
        """Let a suspect back in."""
        body = await _named(request, {"reason": str})
        reason = body.get("reason", "")[:500]
        found = await self.controller.release(
            request.path_params["id"], who=body["who"], reason=reason
        )
        return incident_object(await _until(self.response, found, {IncidentState.RECOVERED}))

    async def close(self, request: Request) -> dict[str, Any]:
        """End an incident."""
        body = await _named(request, {"verdict": str})
        verdict = body.get("verdict", "closed")
        if verdict not in {"closed", "false-alarm"}:
            raise InputError("incident.verdict", "closed or false-alarm", where="request")
        found = await self.controller.close(
            request.path_params["id"], who=body["who"], verdict=verdict
        )
        return incident_object(found)

    async def note(self, request: Request) -> dict[str, Any]:
        """Put on record what a person knows."""
        body = await _named(request, {"text": str, "figures": dict})
        text, figures = body.get("text", "")[:2000], body.get("figures", {})
        found = await self.controller.note(
            request.path_params["id"], who=body["who"], text=text, figures=figures
        )
        return incident_object(found)

    async def automatic(self, request: Request) -> dict[str, Any]:
        """Switch acting by itself on or off."""
        body = await _named(request, {"on": bool})
        self.records.deciding.switch(on=body.get("on", True), who=body["who"])
        return {"automatic": self.records.deciding.automatic}


def incident_routes(response: Responding) -> list[Route]:
    """Return the routes that answer for the incidents of `response`."""
    api = IncidentApi(response=response)
    return [
        Route("/v1/incidents", answering(api.list_all)),
        Route("/v1/incidents/contain", answering(api.contain), methods=["POST"]),
        Route("/v1/incidents/automatic", answering(api.automatic), methods=["POST"]),
        Route("/v1/incidents/{id}", answering(api.show)),
        Route("/v1/incidents/{id}/simulate", answering(api.simulate), methods=["POST"]),
        Route("/v1/incidents/{id}/approve", answering(api.approve), methods=["POST"]),
        Route("/v1/incidents/{id}/release", answering(api.release), methods=["POST"]),
        Route("/v1/incidents/{id}/close", answering(api.close), methods=["POST"]),
        Route("/v1/incidents/{id}/note", answering(api.note), methods=["POST"]),
    ]


async def _named(request: Request, known: dict[str, type]) -> dict[str, Any]:
    """Return the request's object, which says who asks."""
    body = await read_object(request, known | {"who": str})
    who = body.get("who", "")
    if not who or len(who) > MAX_NAME or not who.isprintable():
        raise InputError("request.who", "it does not say who asks", where="request")
    return body


async def _touched(response: Responding, incident: Incident) -> tuple[Any, ...]:
    folder = response.plane.layout.calls_dir
    since = incident.first_call or incident.opened
    calls = await asyncio.to_thread(lambda: load_calls([folder]).table)
    return await asyncio.to_thread(touched_by, incident.suspect, calls, since=since)


async def _settled(response: Responding, incident: Incident) -> Incident:
    """Return the incident once nothing more happens by itself, or the wait is over."""
    records = response.controller.records

    def _over(one: Incident) -> bool:
        done = one.state not in {IncidentState.OPEN, IncidentState.CONTAINING}
        halted = any(step.state in _HALTED for step in one.steps)
        return done or halted or all(step.state.settled for step in one.steps)

    try:
        async with asyncio.timeout(SETTLED_S):
            return await records.until(incident.id, _over)
    except TimeoutError:
        return records.incidents[incident.id]


async def _until(response: Responding, incident: Incident, states: set[IncidentState]) -> Incident:
    records = response.controller.records
    try:
        async with asyncio.timeout(SETTLED_S):
            return await records.until(incident.id, lambda one: one.state in states)
    except TimeoutError:
        return records.incidents[incident.id]
