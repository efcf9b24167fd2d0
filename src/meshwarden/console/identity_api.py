"""The identity part of the control plane's API.

- `GET /v1/identity`: certificates that have not ended, revocations, authorities, recent refusals.
- `POST /v1/identity/revoke` `{"target", "reason"?, "replace"?}`: revoke a certificate, a service's
  or an identity's; answers when it is enforced.
- `POST /v1/identity/rotate` `{"root"?}`: a new authority; `{"certificates", "key"}` (paths): the
  one that the user brings; `{"service"}`: a fresh certificate.
- `GET /v1/identity/bundle`: the trust bundle, as PEM and in the SPIFFE format.
"""

import json
from collections.abc import Awaitable, Callable
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from cryptography import x509
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from meshwarden.control.plane import ControlPlane
from meshwarden.control.plane.revocation import Revoked
from meshwarden.identity import Authority, Record, issuer_name, render_bundle
from meshwarden.identity.model import fingerprint_of
from meshwarden.kernel import DependencyError, InputError, MeshwardenError, StateError

MAX_BODY_BYTES: Final = 64 * 1024
ROTATING_S: Final = 20.0
_Handler = Callable[[Request], Awaitable[dict[str, Any]]]


def identity_routes(plane: ControlPlane) -> list[Route]:
    """Return the routes that answer for the identities of `plane`."""

    async def _show(_: Request) -> dict[str, Any]:
        return describe(plane)

    async def _revoke(request: Request) -> dict[str, Any]:
        body = await read_object(request, {"target": str, "reason": str, "replace": bool})
        if "target" not in body:
            raise InputError("request.target", "names no target", where="request")
        revoked = await plane.revoker.revoke(
            body["target"],
            reason=body.get("reason", "")[:500],
            replace=body.get("replace", True),
        )
        return _revoked(revoked)

    async def _rotate(request: Request) -> dict[str, Any]:
        allowed = {"root": bool, "service": str, "certificates": str, "key": str}
        body = await read_object(request, allowed)
        if service := body.get("service"):
            await plane.revoker.reissue(service)
            held = plane.certificates.held(service)
            return {"service": service, "sha256": held.sha256 if held else None}
        if "certificates" in body and "key" in body:
            await plane.rotation.rotate_to(
                certificates=Path(body["certificates"]), key=Path(body["key"]), within_s=ROTATING_S
            )
        else:
            await plane.rotation.rotate(new_root=body.get("root", False), within_s=ROTATING_S)
        return {"step": plane.rotation.step, "waiting_for": plane.rotation.waiting_for}

    async def _bundle(_: Request) -> dict[str, Any]:
        bundle = plane.identities.trust.bundle
        shown = plane.workload.trust  # the one document that the bundle endpoint serves too
        shown.update()
        return {
            "trust_domain": bundle.trust_domain,
            "pem": bundle.pem,
            "spiffe": render_bundle(shown.own),
        }

    return [
        Route("/v1/identity", answering(_show)),
        Route("/v1/identity/revoke", answering(_revoke), methods=["POST"]),
        Route("/v1/identity/rotate", answering(_rotate), methods=["POST"]),
        Route("/v1/identity/bundle", answering(_bundle)),
    ]


def describe(plane: ControlPlane) -> dict[str, Any]:
    """Return the identities of a running mesh as JSON values."""
    now = plane.clock.now()
    register, trust = plane.identities.register, plane.identities.trust
    current = {
        svid.sha256: name
        for name in plane.mesh.services
        if (svid := plane.certificates.held(name)) is not None
    }
    live = sorted(register.live(now=now), key=lambda one: (one.instance, one.time))
    return {
        "trust_domain": trust.current.trust_domain,
        "time": _stamp(now),
        "certificates": [
            {
                **_record(one),
                "status": "revoked"
                if one.sha256 in register.revoked
                else "current"
                if one.sha256 in current
                else "superseded"
                if one.instance in plane.mesh.services
                else "issued",
                "renews_in_s": plane.certificates.renews_in_s(current[one.sha256])
                if one.sha256 in current
                else None,
            }
            for one in live
        ],
        "revoked": [_record(one) for one in register.revoked.values()],
        "withheld": sorted(register.withheld),
        "refused": [_record(one) for one in register.refusals],
        "authorities": [
            _authority(trust.current, "signing"),
            *([_authority(trust.prepared, "prepared")] if trust.prepared else []),
            *(
                {**_authority(old.authority, "retired"), "until": _stamp(old.until)}
                for old in trust.retired
            ),
        ],
        "rotation": {"step": plane.rotation.step, "waiting_for": plane.rotation.waiting_for},
    }


def _revoked(revoked: Revoked) -> dict[str, Any]:
    return {
        "certificates": [_record(one) for one in revoked.certificates],
        "replaced": revoked.replaced,
        "withheld": revoked.withheld,
        "enforced_ms": round(revoked.enforced_ms, 3),
        "pending": revoked.pending,
        "recorded": revoked.recorded,
        "severed": revoked.severed,
        "unsevered": revoked.unsevered,
    }


def _record(record: Record) -> dict[str, Any]:
    return {
        "time": _stamp(record.time),
        "kind": record.kind.value,
        "identity": record.identity,
        "instance": record.instance,
        "serial": None if record.serial is None else f"{record.serial:x}",
        "sha256": record.sha256,
        "issuer": record.issuer,
        "not_after": None if record.not_after is None else _stamp(record.not_after),
        "reason": record.reason,
    }


def _authority(authority: Authority, role: str) -> dict[str, Any]:
    root: x509.Certificate = authority.bundle.certificates[0]
    return {
        "role": role,
        "issuer": issuer_name(authority),
        "subject": authority.issuer.subject.rfc4514_string(),
        "sha256": fingerprint_of(authority.issuer),
        "not_after": _stamp(authority.issuer.not_valid_after_utc),
        "root": root.subject.rfc4514_string(),
        "root_sha256": fingerprint_of(root),
        "root_not_after": _stamp(root.not_valid_after_utc),
    }


async def read_object(request: Request, known: dict[str, type]) -> dict[str, Any]:
    """Return a request's JSON object; InputError where a field is unknown or of a wrong type."""
    raw = b""
    async for part in request.stream():
        raw += part
        if len(raw) > MAX_BODY_BYTES:
            raise InputError("request.size", f"longer than {MAX_BODY_BYTES} bytes", where="request")
    try:
        body = json.loads(raw or b"{}")
    except (ValueError, RecursionError) as error:
        raise InputError("request.json", "is no JSON", where="request") from error
    if not isinstance(body, dict):
        raise InputError("request.json", "is no JSON object", where="request")
    for name, value in body.items():
        if name not in known or not isinstance(value, known[name]):
            raise InputError(
                "request.field",
                f"{name[:40]!r} is unknown or of the wrong type",
                where="request",
                hint=f"known: {', '.join(known)}",
            )
    return body


def answering(handler: _Handler) -> Callable[[Request], Awaitable[JSONResponse]]:
    """Turn errors into problem documents (RFC 9457)."""

    async def _answer(request: Request) -> JSONResponse:
        try:
            return JSONResponse(await handler(request))
        except MeshwardenError as error:
            status = 503 if isinstance(error, DependencyError | StateError) else 422
            problem = {"title": error.code, "detail": error.message, "hint": error.hint}
            return JSONResponse(problem, status, media_type="application/problem+json")

    return _answer


def _stamp(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")
