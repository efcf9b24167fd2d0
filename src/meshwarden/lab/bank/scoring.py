"""Credit scoring: decides on an application and has an approved loan paid out.

The rule is plain on purpose, so that a refusal can be explained: the instalment against the income,
the amount against the income, and an account that is not in debt.
"""

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from meshwarden.lab.bank.directory import CURRENCY
from meshwarden.lab.bank.fields import customer_of, read_fields
from meshwarden.lab.bank.rules import INCOMES, INSTALMENT_SHARE
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


def affordable(*, amount_minor: int, months: int, income_minor: int) -> bool:
    """Return whether a monthly income carries the loan.

    >>> affordable(amount_minor=120_000, months=12, income_minor=50_000)
    True
    """
    instalment = amount_minor / months
    return instalment <= INSTALMENT_SHARE * income_minor and amount_minor <= INCOMES * income_minor


def build_app(client: httpx.AsyncClient, *, tokens: str = "") -> Starlette:
    """Return the service; `tokens` is the token service's URL."""
    transactions = Transactions(client, tokens, audience=TRUST_DOMAIN)

    async def application(request: Request) -> Response:
        customer = customer_of(request)
        fields = await read_fields(
            request, "key", "account", "amount_minor", "months", "income_minor"
        )
        key, account = fields.key(), fields.account("account")
        amount_minor, months = fields.amount(), fields.integer("months", 6, 120)
        income_minor = fields.amount("income_minor")
        profile = await call(client, "GET", f"http://accounts/v1/customers/{customer}")
        if account not in profile.get("accounts", ()):
            raise ProblemError(404, "accounts.unknown", "this customer has no such account")
        await call(client, "GET", f"http://ledger/v1/accounts/{account}/entries")
        screening = {"customer": customer, "name": profile["name"], "amount_minor": amount_minor}
        answer = await call(client, "POST", "http://aml/v1/screenings", body=screening)
        approved = answer.get("decision") == "clear" and affordable(
            amount_minor=amount_minor, months=months, income_minor=income_minor
        )
        if approved:
            loan = {
                "key": key,
                "credit": account,
                "amount_minor": amount_minor,
                "currency": CURRENCY,
            }
            await pay_out(loan, customer)
        message = {"customer": customer, "template": "credit-decided"}
        await call(client, "POST", "http://notifications/v1/messages", body=message)
        return JSONResponse({"status": "approved" if approved else "declined"}, status_code=201)

    async def pay_out(loan: Json, customer: str) -> None:
        """Have it paid under a token that scoring itself asked for: payments takes no other."""
        url = "http://payments/v1/disbursements"
        with handling(await transactions.replace(current_token(), "credit:apply ledger:post")):
            await call(client, "POST", url, body=loan, customer=customer)

    return build_service([Route("/v1/applications", application, methods=["POST"])], client=client)


if __name__ == "__main__":
    serve(build_app(outbound_client(), tokens=setting("BANK_TOKENS", "")))
