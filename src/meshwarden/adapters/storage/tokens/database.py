"""The databases of the token service: SQLite in WAL mode, files that only this account can read.

State: commits are durable (`synchronous=FULL`) when they return, so that nothing is acknowledged
that a crash would forget. Record, a file of its own, so that no token waits for a commit of state:
issued tokens, `synchronous=NORMAL`. They survive the death of this process, and of the machine all
but those of its last moments, whose tokens died with it.
"""

import contextlib
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, Engine, PoolProxiedConnection
from sqlalchemy.exc import SQLAlchemyError

from meshwarden.adapters.storage.database import open_sqlite
from meshwarden.adapters.storage.tokens.schema import links, metadata
from meshwarden.kernel import DependencyError

BUSY_S: Final = 2.0
"""How long one writer waits for another; longer makes requests pile up behind a stuck replica."""

QUICK_BUSY_S: Final = 0.5


class Database:
    """The state of all replicas that share one file; its methods block and may be used by threads.

    Raises (also each use):
        StateError: `database.readable` where others could read the file.
        DependencyError: `database.open`, `tokens.storage` where it cannot be used.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        _make_folder(path.parent)
        self.engine: Engine = open_sqlite(path, busy_s=BUSY_S)
        record = path.with_name("record.sqlite")
        self.record: Engine = open_sqlite(record, durable=False, busy_s=QUICK_BUSY_S)
        self._quick: PoolProxiedConnection | None = None
        with self.transaction() as connection:
            metadata.create_all(connection, [one for one in metadata.sorted_tables if one != links])
        with self.transaction(record=True) as connection:
            metadata.create_all(connection, [links])

    @contextlib.contextmanager
    def transaction(self, *, record: bool = False) -> Iterator[Connection]:
        """Begin; commit at the end, or roll back and raise DependencyError."""
        try:
            with (self.record if record else self.engine).begin() as connection:
                yield connection
        except (SQLAlchemyError, OSError) as error:
            raise self._failed(error) from error

    def append(self, statement: str, rows: Sequence[Sequence[object]]) -> None:
        """Insert rows into the record, without waiting for the disk; DependencyError."""
        try:
            if self._quick is None:
                self._quick = self.record.raw_connection()
            cursor = self._quick.cursor()
            cursor.executemany(statement, rows)
            self._quick.commit()
        except (SQLAlchemyError, sqlite3.Error, OSError) as error:
            if self._quick is not None:
                self._quick.invalidate()
                self._quick = None
            raise self._failed(error) from error

    def checkpoint(self) -> None:
        """Move what was appended from the log into the file, where nobody waits for it."""
        with self.transaction(record=True) as connection:
            connection.exec_driver_sql("PRAGMA wal_checkpoint(PASSIVE)")

    def _failed(self, error: Exception) -> DependencyError:
        cause = getattr(error, "orig", None) or error
        return DependencyError(
            "tokens.storage",
            f"the state of the token service in {self.path} cannot be used:"
            f" {type(cause).__name__}: {str(cause)[:120]}",
            hint="free space, and let the account that runs meshwarden write there",
            retry_after_s=1,
        )

    def close(self) -> None:
        """Close all connections."""
        if self._quick is not None:
            self._quick.close()
            self._quick = None
        self.engine.dispose()
        self.record.dispose()


def _make_folder(path: Path) -> None:
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise DependencyError(
            "tokens.storage", f"{path} cannot be made: {error.strerror}", retry_after_s=1
        ) from error
