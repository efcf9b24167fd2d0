"""The books in SQLite, in the ledger's own process: one writer, each transfer one transaction."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from meshwarden.lab.bank import books
from meshwarden.lab.bank.books import Account, Transfer
from meshwarden.lab.bank.service import Json

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS accounts (
  id TEXT PRIMARY KEY, currency TEXT NOT NULL, may_overdraw INTEGER NOT NULL,
  balance INTEGER NOT NULL DEFAULT 0, CHECK (may_overdraw OR balance >= 0)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS transfers (
  key TEXT PRIMARY KEY, id TEXT NOT NULL UNIQUE, debit TEXT NOT NULL, credit TEXT NOT NULL,
  amount INTEGER NOT NULL CHECK (amount > 0), currency TEXT NOT NULL, reference TEXT NOT NULL,
  at_ms INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS entries (
  id INTEGER PRIMARY KEY, transfer TEXT NOT NULL REFERENCES transfers (key),
  account TEXT NOT NULL REFERENCES accounts (id), amount INTEGER NOT NULL, currency TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS entries_by_account ON entries (account, id);
"""
_MOVE: Final = "UPDATE accounts SET balance = balance + ? WHERE id = ? AND currency = ?"
_TRANSFER: Final = "INSERT INTO transfers VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
_ENTRY: Final = "INSERT INTO entries (transfer, account, amount, currency) VALUES (?, ?, ?, ?)"


class SqliteBooks:
    """Books in the file `path`, or in memory where it is `:memory:`."""

    def __init__(self, path: str) -> None:
        self._path = path

    async def open(self) -> None:
        """See Books."""
        self._db = sqlite3.connect(self._path, isolation_level=None)
        self._db.executescript(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = ON;"
            + _SCHEMA
        )

    async def close(self) -> None:
        """See Books."""
        self._db.close()

    async def open_accounts(self, accounts: list[Account], history: list[Transfer]) -> None:
        """See Books."""
        with self._transaction():
            known = {row[0] for row in self._db.execute("SELECT id FROM accounts")}
            new = {account.id for account in accounts} - known
            self._db.executemany(
                "INSERT INTO accounts (id, currency, may_overdraw) VALUES (?, ?, ?)",
                [(a.id, a.currency, a.may_overdraw) for a in accounts if a.id in new],
            )
            for transfer in history:
                if transfer.debit in new or transfer.credit in new:
                    self._book(transfer, at_ms=0)

    async def post(self, transfer: Transfer, *, at_ms: int) -> bool:
        """See Books."""
        books.check_transfer(transfer)
        with self._transaction():
            booked = self._db.execute(
                "SELECT debit, credit, amount, currency FROM transfers WHERE key = ?",
                (transfer.key,),
            ).fetchone()
            if booked is not None:
                books.check_replay(transfer, booked)
                return False
            self._book(transfer, at_ms=at_ms)
        return True

    async def balance(self, account: str) -> tuple[int, str]:
        """See Books."""
        found = self._db.execute(
            "SELECT balance, currency FROM accounts WHERE id = ?", (account,)
        ).fetchone()
        if found is None:
            raise books.unknown_account(account)
        return found[0], found[1]

    async def entries(self, account: str, *, limit: int) -> list[Json]:
        """See Books."""
        await self.balance(account)
        rows = self._db.execute(
            "SELECT t.id, t.at_ms, e.amount, e.currency, t.reference FROM entries e"
            " JOIN transfers t ON t.key = e.transfer WHERE e.account = ?"
            " ORDER BY e.id DESC LIMIT ?",
            (account, limit),
        )
        names = ("transfer", "at_ms", "amount_minor", "currency", "reference")
        return [dict(zip(names, row, strict=True)) for row in rows]

    async def report(self) -> Json:
        """See Books."""
        sums = self._db.execute(
            "SELECT currency, SUM(amount), COUNT(*) FROM entries GROUP BY currency"
        ).fetchall()
        (drifted,) = self._db.execute(
            "SELECT COUNT(*) FROM accounts a LEFT JOIN (SELECT account, SUM(amount) AS total"
            " FROM entries GROUP BY account) e ON e.account = a.id"
            " WHERE a.balance <> COALESCE(e.total, 0)"
        ).fetchone()
        return books.render_report(
            {name: (total, rows) for name, total, rows in sums}, drifted=drifted
        )

    def _book(self, transfer: Transfer, *, at_ms: int) -> None:
        t = transfer
        moved = self._db.execute(
            f"{_MOVE} AND (may_overdraw OR balance >= ?)",
            (-t.amount_minor, t.debit, t.currency, t.amount_minor),
        ).rowcount
        if not moved:
            raise books.refused_debit(t, debit_exists=self._exists(t.debit, t.currency))
        if not self._db.execute(_MOVE, (t.amount_minor, t.credit, t.currency)).rowcount:
            raise books.unknown_account(t.credit)
        self._db.execute(
            _TRANSFER,
            (t.key, t.id, t.debit, t.credit, t.amount_minor, t.currency, t.reference, at_ms),
        )
        self._db.execute(_ENTRY, (t.key, t.debit, -t.amount_minor, t.currency))
        self._db.execute(_ENTRY, (t.key, t.credit, t.amount_minor, t.currency))

    def _exists(self, account: str, currency: str) -> bool:
        query = "SELECT 1 FROM accounts WHERE id = ? AND currency = ?"
        return self._db.execute(query, (account, currency)).fetchone() is not None

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")
