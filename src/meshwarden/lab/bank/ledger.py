"""The ledger: the only place where money moves. Double entry, idempotent, never overdrawn.

On PostgreSQL where MESHWARDEN_TCP_LEDGER_DB_5432 names it, else on SQLite beside its socket.
`GET /v1/report` is for whoever runs the bank: no other service may call it, so it is asked on the
ledger's own socket.
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from meshwarden.lab.bank.books import HISTORY, Books, Transfer, opening
from meshwarden.lab.bank.directory import Directory
from meshwarden.lab.bank.fields import path_id, read_fields
from meshwarden.lab.bank.service import ProblemError, build_service, now_s, serve, setting

_DATABASE_TRIES = 60


def build_app(books: Books, *, directory: Directory, now: Callable[[], float] = now_s) -> Starlette:
    """Return the ledger over `books`, which it opens with the directory's accounts."""

    async def transfer(request: Request) -> Response:
        fields = await read_fields(
            request, "key", "debit", "credit", "amount_minor", "currency", "reference"
        )
        order = Transfer(
            key=fields.key(),
            debit=fields.account("debit"),
            credit=fields.account("credit"),
            amount_minor=fields.amount(),
            currency=fields.currency(),
            reference=fields.text("reference", default="-"),
        )
        booked = await books.post(order, at_ms=int(now() * 1000))
        return JSONResponse(
            {"transfer": order.id, "status": "booked"}, status_code=201 if booked else 200
        )

    async def balance(request: Request) -> Response:
        account = path_id(request, "acc")
        balance_minor, currency = await books.balance(account)
        return JSONResponse(
            {"account": account, "balance_minor": balance_minor, "currency": currency}
        )

    async def entries(request: Request) -> Response:
        account = path_id(request, "acc")
        rows = await books.entries(account, limit=HISTORY)
        return JSONResponse({"account": account, "entries": rows})

    async def report(_: Request) -> Response:
        return JSONResponse(await books.report())

    @asynccontextmanager
    async def open_books() -> AsyncIterator[None]:
        await _open(books)
        try:
            await books.open_accounts(*opening(directory))
            yield
        finally:
            await books.close()

    return build_service(
        [
            Route("/v1/transfers", transfer, methods=["POST"]),
            Route("/v1/large-transfers", transfer, methods=["POST"]),  # policy demands more there
            Route("/v1/accounts/{id}/balance", balance, methods=["GET"]),
            Route("/v1/accounts/{id}/entries", entries, methods=["GET"]),
            Route("/v1/report", report, methods=["GET"]),
        ],
        lifespan=open_books,
    )


async def _open(books: Books) -> None:
    """Open the books, waiting for a database that is still starting."""
    for left in reversed(range(_DATABASE_TRIES)):
        try:
            await books.open()
        except ProblemError:
            if not left:
                raise
            await asyncio.sleep(0.25)
        else:
            return


def _books() -> Books:
    database = setting("MESHWARDEN_TCP_LEDGER_DB_5432", "")
    if not database:
        from meshwarden.lab.bank.books_sqlite import SqliteBooks  # noqa: PLC0415  # one store only

        socket = setting("MESHWARDEN_SOCKET", "")
        return SqliteBooks(str(Path(socket).parent / "ledger.sqlite") if socket else ":memory:")
    from meshwarden.lab.bank.books_postgres import PostgresBooks  # noqa: PLC0415  # one store only

    password = setting("BANK_DATABASE_PASSWORD", "")
    if not password:
        sys.exit("ledger: BANK_DATABASE_PASSWORD is not set; give it the database's password")
    return PostgresBooks(database, password=password)


if __name__ == "__main__":
    serve(
        build_app(
            _books(),
            directory=Directory(
                setting("BANK_SEED", "meshwarden"), int(setting("BANK_CUSTOMERS", "500"))
            ),
        )
    )
