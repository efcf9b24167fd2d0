"""Shared Signals over HTTP, beside the token endpoint, behind the same Envoy (SSF 1.0, RFC 8935).

- `POST /ssf/events`: events pushed to us. 202 only once they are on the disk and in force.
- `GET /.well-known/ssf-configuration`, `GET /ssf/jwks`: who transmits here, and its keys.
- `/ssf/stream` (GET, POST, PATCH, PUT, DELETE), `/ssf/status`, `/ssf/subjects:add`,
  `/ssf/subjects:remove`, `/ssf/verify`: a receiver's own streams.

Who may do which stands in the access policy, by path; a stream belongs to whom made it.
"""

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from meshwarden.adapters.envoy.client_certificate import parse_client
from meshwarden.console.token_api import read_body
from meshwarden.control.tokens.receiving import MAX_SET_BYTES, Receiver
from meshwarden.control.tokens.transmitting import Transmitter
from meshwarden.kernel import DependencyError, InputError, StateError, VerificationError
from meshwarden.kernel.strict_json import parse_object
from meshwarden.tokens import UnverifiedToken
from meshwarden.tokens.signals.model import ErrorCode, SetError
from meshwarden.tokens.signals.streams import (
    PUSH,
    Stream,
    StreamError,
    change_subject,
    create_stream,
    render_stream,
    set_status,
    update_stream,
)

SET: Final = "application/secevent+jwt"
MAX_BODY_BYTES: Final = 64 * 1024
_NO_STORE: Final = {"cache-control": "no-store"}
_Handler = Callable[[Request, str], Awaitable[Response]]


@dataclass(kw_only=True)
class SignalsApi:
    """The routes over a receiver and a transmitter."""

    receiver: Receiver
    transmitter: Transmitter

    def routes(self) -> list[Route]:
        """Return all routes."""
        return [
            Route("/ssf/events", _known(self.events), methods=["POST"]),
            Route("/.well-known/ssf-configuration", _known(self.configuration)),
            Route("/ssf/jwks", _known(self.jwks)),
            Route("/ssf/stream", _known(self.read), methods=["GET"]),
            Route("/ssf/stream", _known(self.create), methods=["POST"]),
            Route("/ssf/stream", _known(self.update), methods=["PATCH", "PUT"]),
            Route("/ssf/stream", _known(self.delete), methods=["DELETE"]),
            Route("/ssf/status", _known(self.status), methods=["GET"]),
            Route("/ssf/status", _known(self.change_status), methods=["POST"]),
            Route("/ssf/subjects:add", _known(self.add), methods=["POST"]),
            Route("/ssf/subjects:remove", _known(self.remove), methods=["POST"]),
            Route("/ssf/verify", _known(self.verify), methods=["POST"]),
        ]

    async def events(self, request: Request, _caller: str) -> Response:
        """Take one pushed event (RFC 8935, section 2)."""
        if request.headers.get("content-type", "").split(";")[0].strip() != SET:
            return _set_error(_invalid(f"content-type must be {SET}"))
        raw = await read_body(request.receive, MAX_SET_BYTES)
        try:
            text = raw.decode("ascii")
        except UnicodeDecodeError:
            text = ""
        error = await self.receiver.take(UnverifiedToken(text))
        return Response(status_code=202) if error is None else _set_error(error)

    async def configuration(self, _: Request, _caller: str) -> Response:
        """Answer who transmits here (SSF 1.0, section 7.1)."""
        issuer = self.transmitter.issuer
        return JSONResponse(
            {
                "spec_version": "1_0",
                "issuer": issuer,
                "jwks_uri": f"{issuer}/ssf/jwks",
                "delivery_methods_supported": [PUSH],
                "configuration_endpoint": f"{issuer}/ssf/stream",
                "status_endpoint": f"{issuer}/ssf/status",
                "add_subject_endpoint": f"{issuer}/ssf/subjects:add",
                "remove_subject_endpoint": f"{issuer}/ssf/subjects:remove",
                "verification_endpoint": f"{issuer}/ssf/verify",
                "critical_subject_members": [],
                "authorization_schemes": [{"spec_urn": "urn:ietf:rfc:8705"}],
                "default_subjects": "ALL",
            }
        )

    async def jwks(self, _: Request, _caller: str) -> Response:
        """Answer what verifies our events."""
        return JSONResponse(json.loads(self.transmitter.jwks))

    async def read(self, request: Request, caller: str) -> Response:
        """Answer one stream, or all of the caller's."""
        stream_id = request.query_params.get("stream_id")
        if stream_id is None:
            return JSONResponse([self._shown(one) for one in self.transmitter.of(caller)])
        return JSONResponse(self._shown(self.transmitter.find(caller, stream_id)))

    async def create(self, request: Request, caller: str) -> Response:
        """Make a stream."""
        stream = create_stream(
            await _body(request),
            stream_id=f"{self.transmitter.chance.serial():032x}",
            owner=caller,
            audience=caller,
        )
        await self.transmitter.keep(stream)
        return JSONResponse(self._shown(stream), status_code=201, headers=_NO_STORE)

    async def update(self, request: Request, caller: str) -> Response:
        """Change a stream, in part (PATCH) or as a whole (PUT)."""
        body = await _body(request)
        stream = self.transmitter.find(caller, body.get("stream_id"))
        stream = update_stream(stream, body, replace_all=request.method == "PUT")
        await self.transmitter.keep(stream)
        return JSONResponse(self._shown(stream), headers=_NO_STORE)

    async def delete(self, request: Request, caller: str) -> Response:
        """Forget a stream."""
        stream = self.transmitter.find(caller, request.query_params.get("stream_id"))
        await self.transmitter.remove(stream)
        return Response(status_code=204)

    async def status(self, request: Request, caller: str) -> Response:
        """Answer whether events flow."""
        stream = self.transmitter.find(caller, request.query_params.get("stream_id"))
        return JSONResponse(_status(stream))

    async def change_status(self, request: Request, caller: str) -> Response:
        """Enable, pause or disable a stream."""
        body = await _body(request)
        stream = set_status(self.transmitter.find(caller, body.get("stream_id")), body)
        await self.transmitter.keep(stream)
        return JSONResponse(_status(stream))

    async def add(self, request: Request, caller: str) -> Response:
        """Add a subject to a stream."""
        return await self._subject(request, caller, add=True)

    async def remove(self, request: Request, caller: str) -> Response:
        """Remove a subject from a stream."""
        return await self._subject(request, caller, add=False)

    async def verify(self, request: Request, caller: str) -> Response:
        """Have a verification event sent."""
        body = await _body(request)
        stream, state = self.transmitter.find(caller, body.get("stream_id")), body.get("state")
        if state is not None and (not isinstance(state, str) or len(state) > 256):
            raise StreamError("state is no text of at most 256 characters")
        sent = await self.transmitter.verify(stream, state)
        return Response(status_code=204 if sent else 429)

    async def _subject(self, request: Request, caller: str, *, add: bool) -> Response:
        body = await _body(request)
        stream = self.transmitter.find(caller, body.get("stream_id"))
        await self.transmitter.keep(change_subject(stream, body, add=add))
        return Response(status_code=200 if add else 204)

    def _shown(self, stream: Stream) -> dict[str, Any]:
        return render_stream(stream, issuer=self.transmitter.issuer)


def build_signals_app(api: SignalsApi) -> Starlette:
    """Return the application of `api`."""
    return Starlette(routes=api.routes())


def _known(handler: _Handler) -> Callable[[Request], Awaitable[Response]]:
    """Call `handler` with the workload that asks, and turn errors into answers."""

    async def _answer(request: Request) -> Response:
        try:
            caller, _ = parse_client(request.scope["headers"])
            return await handler(request, str(caller))
        except VerificationError as error:
            return _problem(401, error.message)
        except InputError as error:
            return _problem(404 if error.code == "stream.unknown" else 400, error.message)
        except StreamError as error:
            return _problem(400, str(error))
        except StateError as error:
            return _problem(409, error.message)
        except DependencyError as error:
            return _problem(503, "it cannot be kept at the moment", retry=error.retry_after_s)

    return _answer


async def _body(request: Request) -> dict[str, Any]:
    raw = await read_body(request.receive, MAX_BODY_BYTES)
    try:
        return parse_object(raw)
    except (ValueError, RecursionError) as error:
        raise InputError("request.json", "the body is no JSON object", where="body") from error


def _status(stream: Stream) -> dict[str, Any]:
    reason = {} if stream.reason is None else {"reason": stream.reason}
    return {"stream_id": stream.stream_id, "status": stream.status.value, **reason}


def _invalid(description: str) -> SetError:
    return SetError(err=ErrorCode.INVALID_REQUEST, description=description)


def _set_error(error: SetError) -> Response:
    return JSONResponse(error.as_json(), 400, headers={"content-language": "en"} | _NO_STORE)


def _problem(status: int, detail: str, *, retry: float | None = None) -> Response:
    headers = {} if retry is None else {"retry-after": str(int(retry) or 1)}
    return JSONResponse({"error": detail}, status, headers=headers | _NO_STORE)
