"""Accounts: who owns which account; balances and statements from the ledger, for the owner only."""

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from meshwarden.lab.bank.directory import CURRENCY, Customer, Directory
from meshwarden.lab.bank.fields import customer_of, path_id
from meshwarden.lab.bank.service import (
    ProblemError,
    build_service,
    call,
    outbound_client,
    serve,
    setting,
)

_KINDS = ("current", "savings")


def build_app(client: httpx.AsyncClient, *, directory: Directory) -> Starlette:
    """Return the service for the directory's customers."""
    customers = {c.id: c for c in map(directory.customer, range(directory.count))}
    owners = {account: c for c in customers.values() for account in c.accounts}

    def owned(request: Request) -> str:
        """Return the account in the path, which the calling customer owns; else it is unknown."""
        account = path_id(request, "acc")
        owner = owners.get(account)
        if owner is None or owner.id != customer_of(request):
            raise ProblemError(404, "accounts.unknown", "this customer has no such account")
        return account

    def known(request: Request) -> Customer:
        customer = customers.get(path_id(request, "cus"))
        if customer is None:
            raise ProblemError(404, "customers.unknown", "no such customer")
        return customer

    async def of_customer(request: Request) -> Response:
        customer = known(request)
        if customer.id != customer_of(request):
            raise ProblemError(404, "customers.unknown", "no such customer")
        return JSONResponse({"accounts": [_account(a, customer) for a in customer.accounts]})

    async def profile(request: Request) -> Response:
        customer = known(request)
        return JSONResponse(
            {"customer": customer.id, "name": customer.name, "accounts": list(customer.accounts)}
        )

    async def account(request: Request) -> Response:
        found = owned(request)
        return JSONResponse(_account(found, owners[found]))

    async def balance(request: Request) -> Response:
        account = owned(request)
        return JSONResponse(
            await call(client, "GET", f"http://ledger/v1/accounts/{account}/balance")
        )

    async def statement(request: Request) -> Response:
        account = owned(request)
        return JSONResponse(
            await call(client, "GET", f"http://ledger/v1/accounts/{account}/entries")
        )

    return build_service(
        [
            Route("/v1/customers/{id}/accounts", of_customer, methods=["GET"]),
            Route("/v1/customers/{id}", profile, methods=["GET"]),
            Route("/v1/accounts/{id}", account, methods=["GET"]),
            Route("/v1/accounts/{id}/balance", balance, methods=["GET"]),
            Route("/v1/accounts/{id}/statement", statement, methods=["GET"]),
        ],
        client=client,
    )


def _account(account: str, owner: Customer) -> dict[str, str]:
    kind = _KINDS[owner.accounts.index(account)]
    return {"account": account, "owner": owner.id, "kind": kind, "currency": CURRENCY}


if __name__ == "__main__":
    serve(
        build_app(
            outbound_client(),
            directory=Directory(
                setting("BANK_SEED", "meshwarden"), int(setting("BANK_CUSTOMERS", "500"))
            ),
        )
    )
