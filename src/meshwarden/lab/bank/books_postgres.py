"""The books in PostgreSQL: the same rules as one statement each, in one transaction per transfer.

Both accounts' rows are locked in the order of their ids, so that two transfers that cross never
wait for each other in a circle. Connections are replaced after a bounded number of queries, which
also gives a long-running bank a steady record of connections.
"""

from typing import Any, Final

import asyncpg

from meshwarden.lab.bank import books
from meshwarden.lab.bank.books import Account, Transfer
from meshwarden.lab.bank.rules import QUERIES_PER_CONNECTION
from meshwarden.lab.bank.service import Json, ProblemError

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS accounts (
  id text PRIMARY KEY, currency text NOT NULL, may_overdraw boolean NOT NULL,
  balance bigint NOT NULL DEFAULT 0, CHECK (may_overdraw OR balance >= 0)
);
CREATE TABLE IF NOT EXISTS transfers (
  key text PRIMARY KEY, id text NOT NULL UNIQUE, debit text NOT NULL, credit text NOT NULL,
  amount bigint NOT NULL CHECK (amount > 0), currency text NOT NULL, reference text NOT NULL,
  at_ms bigint NOT NULL
);
CREATE TABLE IF NOT EXISTS entries (
  id bigserial PRIMARY KEY, transfer text NOT NULL REFERENCES transfers (key),
  account text NOT NULL REFERENCES accounts (id), amount bigint NOT NULL, currency text NOT NULL
);
CREATE INDEX IF NOT EXISTS entries_by_account ON entries (account, id);
"""
_LOCK: Final = """
SELECT id, currency, may_overdraw, balance FROM accounts
WHERE id = ANY($1::text[]) ORDER BY id FOR NO KEY UPDATE
"""
_MOVE: Final = """
UPDATE accounts SET balance = balance + CASE WHEN id = $1 THEN -$3::bigint ELSE $3::bigint END
WHERE id IN ($1, $2)
"""
_ENTRIES: Final = """
INSERT INTO entries (transfer, account, amount, currency)
VALUES ($1, $2, -$4::bigint, $5), ($1, $3, $4::bigint, $5)
"""
_TRANSFER: Final = """
INSERT INTO transfers VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (key) DO NOTHING
"""
_STATEMENT: Final = """
SELECT t.id AS transfer, t.at_ms, e.amount AS amount_minor, e.currency, t.reference
FROM entries e JOIN transfers t ON t.key = e.transfer
WHERE e.account = $1 ORDER BY e.id DESC LIMIT $2
"""
_DRIFTED: Final = """
SELECT COUNT(*) FROM accounts a
LEFT JOIN (SELECT account, SUM(amount) AS total FROM entries GROUP BY account) e ON e.account = a.id
WHERE a.balance <> COALESCE(e.total, 0)
"""
_OPENING_TIMEOUT_S: Final = 60.0  # some ten thousand rows at the first start
# What a lost or refused connection raises; anything else is a defect and stays a 500.
_UNREACHABLE: Final = (
    OSError, TimeoutError, asyncpg.PostgresConnectionError, asyncpg.CannotConnectNowError,
    asyncpg.TooManyConnectionsError, asyncpg.AdminShutdownError, asyncpg.InterfaceError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InternalClientError,  # rolling back what timed out, before its cancellation is through
)  # fmt: skip


class PostgresBooks:
    """Books in the database `ledger` of the server at `address` (host:port)."""

    def __init__(self, address: str, *, password: str) -> None:
        self._address = address
        self._password = password

    async def open(self) -> None:
        """See Books."""
        host, _, port = self._address.rpartition(":")
        try:
            self._pool = await asyncpg.create_pool(
                host=host, port=int(port), user="ledger", password=self._password,
                database="ledger", ssl=False, min_size=0, max_size=8, timeout=5, command_timeout=5,
                max_queries=QUERIES_PER_CONNECTION, server_settings={"application_name": "ledger"},
            )  # fmt: skip
            await self._pool.execute(_SCHEMA)
        except _UNREACHABLE as error:
            raise _unavailable() from error

    async def close(self) -> None:
        """See Books."""
        await self._pool.close()

    async def open_accounts(self, accounts: list[Account], history: list[Transfer]) -> None:
        """See Books."""
        async with self._pool.acquire() as db, db.transaction():
            await db.execute("LOCK TABLE accounts IN SHARE ROW EXCLUSIVE MODE")
            known = {row["id"] for row in await db.fetch("SELECT id FROM accounts")}
            new = {a.id: a for a in accounts if a.id not in known}
            moves = [t for t in history if t.debit in new or t.credit in new]
            await db.copy_records_to_table(
                "accounts",
                columns=["id", "currency", "may_overdraw"],
                records=[(a.id, a.currency, a.may_overdraw) for a in new.values()],
                timeout=_OPENING_TIMEOUT_S,
            )
            await db.copy_records_to_table(
                "transfers",
                records=[
                    (t.key, t.id, t.debit, t.credit, t.amount_minor, t.currency, t.reference, 0)
                    for t in moves
                ],
                timeout=_OPENING_TIMEOUT_S,
            )
            await db.copy_records_to_table(
                "entries",
                columns=["transfer", "account", "amount", "currency"],
                records=[
                    row
                    for t in moves
                    for row in (
                        (t.key, t.debit, -t.amount_minor, t.currency),
                        (t.key, t.credit, t.amount_minor, t.currency),
                    )
                ],
                timeout=_OPENING_TIMEOUT_S,
            )
            await db.execute(
                "UPDATE accounts a SET balance = e.total FROM (SELECT account, SUM(amount) AS total"
                " FROM entries GROUP BY account) e WHERE e.account = a.id AND a.balance <> e.total",
                timeout=_OPENING_TIMEOUT_S,
            )

    async def post(self, transfer: Transfer, *, at_ms: int) -> bool:
        """See Books."""
        books.check_transfer(transfer)
        t = transfer
        try:
            async with self._pool.acquire() as db, db.transaction():
                inserted = await db.execute(
                    _TRANSFER, t.key, t.id, t.debit, t.credit, t.amount_minor, t.currency,
                    t.reference, at_ms,
                )  # fmt: skip
                if inserted.endswith(" 0"):
                    booked = await db.fetchrow(
                        "SELECT debit, credit, amount, currency FROM transfers WHERE key = $1",
                        t.key,
                    )
                    books.check_replay(t, tuple(booked))
                    return False
                self._check(t, await db.fetch(_LOCK, [t.debit, t.credit]))
                await db.execute(_MOVE, t.debit, t.credit, t.amount_minor)
                await db.execute(_ENTRIES, t.key, t.debit, t.credit, t.amount_minor, t.currency)
        except _UNREACHABLE as error:
            raise _unavailable() from error
        return True

    async def balance(self, account: str) -> tuple[int, str]:
        """See Books."""
        rows = await self._fetch("SELECT balance, currency FROM accounts WHERE id = $1", account)
        if not rows:
            raise books.unknown_account(account)
        return rows[0]["balance"], rows[0]["currency"]

    async def entries(self, account: str, *, limit: int) -> list[Json]:
        """See Books."""
        await self.balance(account)
        return [dict(row) for row in await self._fetch(_STATEMENT, account, limit)]

    async def report(self) -> Json:
        """See Books."""
        sums = await self._fetch(
            "SELECT currency, SUM(amount)::bigint AS total, COUNT(*) AS rows FROM entries"
            " GROUP BY currency"
        )
        drifted = await self._fetch(_DRIFTED)
        return books.render_report(
            {row["currency"]: (row["total"], row["rows"]) for row in sums}, drifted=drifted[0][0]
        )

    @staticmethod
    def _check(transfer: Transfer, locked: list[Any]) -> None:
        rows = {row["id"]: row for row in locked if row["currency"] == transfer.currency}
        debit = rows.get(transfer.debit)
        if debit is None or not (
            debit["may_overdraw"] or debit["balance"] >= transfer.amount_minor
        ):
            raise books.refused_debit(transfer, debit_exists=debit is not None)
        if transfer.credit not in rows:
            raise books.unknown_account(transfer.credit)

    async def _fetch(self, query: str, *arguments: object) -> list[Any]:
        try:
            found: list[Any] = await self._pool.fetch(query, *arguments)
        except _UNREACHABLE as error:
            raise _unavailable() from error
        return found


def _unavailable() -> ProblemError:
    return ProblemError(503, "ledger.database", "the ledger's database cannot be reached")
