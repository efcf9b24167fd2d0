"""Payments: transfers, card payments and loan disbursements.

Each checks whose account it is, has it screened or authorized, books it once under the customer's
key, and tells the customer. A message that cannot be sent never undoes a booking. A large transfer
is booked where the ledger's rule demands a second factor (RFC 9470): who lacks it is refused there,
and asked for it at the edge.
"""

import logging
from typing import Final

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from meshwarden.lab.bank.directory import CARD_SETTLEMENT, LENDING
from meshwarden.lab.bank.fields import customer_of, read_fields
from meshwarden.lab.bank.rules import STEP_UP_MINOR
from meshwarden.lab.bank.service import (
    Json,
    ProblemError,
    build_service,
    call,
    outbound_client,
    serve,
    setting,
)
from meshwarden.lab.bank.transaction import TRUST_DOMAIN, Transactions
from meshwarden.propagate import current_token, handling

CARD_NETWORK: Final = "http://api.cardnetwork.example"
_log = logging.getLogger(__name__)


def build_app(client: httpx.AsyncClient, *, tokens: str = "") -> Starlette:
    """Return the service; `tokens` is the token service's URL."""
    transactions = Transactions(client, tokens, audience=TRUST_DOMAIN)

    async def transfer(request: Request) -> Response:
        customer = customer_of(request)
        fields = await read_fields(
            request,
            "key",
            "debit",
            "credit",
            "amount_minor",
            "currency",
            "beneficiary",
            "reference",
        )
        order: Json = {
            "key": f"{fields.key()}.t",
            "debit": fields.account("debit"),
            "credit": fields.account("credit"),
            "amount_minor": fields.amount(),
            "currency": fields.currency(),
            "reference": fields.text("reference", default="transfer"),
        }
        beneficiary = fields.text("beneficiary", longest=70)
        await own(order["debit"], customer)
        if await screen(customer, beneficiary, order["amount_minor"]) == "review":
            return JSONResponse({"status": "held"}, status_code=201)
        large = order["amount_minor"] >= STEP_UP_MINOR
        booked = await book(order, "large-transfers" if large else "transfers")
        await notify(customer, "transfer-booked")
        return JSONResponse(booked, status_code=201)

    async def card_payment(request: Request) -> Response:
        customer = customer_of(request)
        fields = await read_fields(
            request, "key", "debit", "amount_minor", "currency", "merchant", "device"
        )
        payment: Json = {
            "merchant": fields.text("merchant", longest=70),
            "amount_minor": fields.amount(),
            "currency": fields.currency(),
        }
        debit, key = fields.account("debit"), f"{fields.key()}.c"
        await own(debit, customer)
        answer = await call(
            client, "POST", f"{CARD_NETWORK}/v1/authorizations", body=payment | {"key": key}
        )
        if answer.get("decision") != "approved":
            return JSONResponse({"status": "declined"}, status_code=201)
        booked = await book(
            {
                "key": key,
                "debit": debit,
                "credit": CARD_SETTLEMENT,
                "amount_minor": payment["amount_minor"],
                "currency": payment["currency"],
                "reference": payment["merchant"],
            }
        )
        await notify(customer, "card-payment-booked")
        return JSONResponse(booked, status_code=201)

    async def disbursement(request: Request) -> Response:
        customer_of(request)
        fields = await read_fields(request, "key", "credit", "amount_minor", "currency")
        booked = await book(
            {
                "key": f"{fields.key()}.d",
                "debit": LENDING,
                "credit": fields.account("credit"),
                "amount_minor": fields.amount(),
                "currency": fields.currency(),
                "reference": "loan",
            }
        )
        return JSONResponse(booked, status_code=201)

    async def own(account: str, customer: str) -> None:
        await call(client, "GET", f"http://accounts/v1/accounts/{account}", customer=customer)

    async def screen(customer: str, name: str, amount_minor: int) -> object:
        screening = {"customer": customer, "name": name, "amount_minor": amount_minor}
        answer = await call(client, "POST", "http://aml/v1/screenings", body=screening)
        if answer.get("decision") not in {"clear", "review"}:
            raise ProblemError(422, "screening.blocked", "this payment cannot be made")
        return answer["decision"]

    async def book(order: Json, where: str = "transfers") -> Json:
        """Book under a token that payments itself asked for: the ledger takes no other."""
        with handling(await transactions.replace(current_token(), "ledger:post")):
            return await call(client, "POST", f"http://ledger/v1/{where}", body=order)

    async def notify(customer: str, template: str) -> None:
        message = {"customer": customer, "template": template}
        try:
            await call(client, "POST", "http://notifications/v1/messages", body=message)
        except ProblemError as problem:
            _log.warning("message not sent: %s", problem.code)

    return build_service(
        [
            Route("/v1/transfers", transfer, methods=["POST"]),
            Route("/v1/card-payments", card_payment, methods=["POST"]),
            Route("/v1/disbursements", disbursement, methods=["POST"]),
        ],
        client=client,
    )


if __name__ == "__main__":
    serve(build_app(outbound_client(), tokens=setting("BANK_TOKENS", "")))
