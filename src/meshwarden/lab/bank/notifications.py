"""Notifications: takes messages to customers. It sends nothing; the newest are kept, bounded."""

from collections import deque
from typing import Final

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from meshwarden.lab.bank.fields import read_fields
from meshwarden.lab.bank.service import build_service, serve

TEMPLATES: Final = ("transfer-booked", "card-payment-booked", "credit-decided", "other-device")
_KEPT: Final = 1000


def build_app() -> Starlette:
    """Return the service; the messages taken are in `app.state.messages`."""
    messages: deque[tuple[str, str]] = deque(maxlen=_KEPT)

    async def message(request: Request) -> Response:
        fields = await read_fields(request, "customer", "template")
        messages.append((fields.customer("customer"), fields.choice("template", *TEMPLATES)))
        return JSONResponse({"status": "queued"}, status_code=202)

    app = build_service([Route("/v1/messages", message, methods=["POST"])])
    app.state.messages = messages
    return app


if __name__ == "__main__":
    serve(build_app())
