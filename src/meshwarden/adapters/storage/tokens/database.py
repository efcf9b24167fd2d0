"""The databases of the token service: SQLite in WAL mode, files that only this account can read.

State: commits are durable (`synchronous=FULL`) when they return, so that nothing is acknowledged
that a crash would forget. Record, a file of its own, so that no token waits for a commit of state:
issued tokens, `synchronous=NORMAL`. They survive the death of this process, and of the machine all
but those of its last moments, whose tokens died with it.
"""

import contextlib
import os
import sqlite3
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from stat import S_IMODE
from typing import Any, Final

from sqlalchemy import Connection, Engine, PoolProxiedConnection, create_engine, event
from sqlalchemy.exc import SQLAlchemyError

from meshwarden.adapters.storage.tokens.schema import links, metadata
from meshwarden.kernel import DependencyError, StateError

BUSY_MS: Final = 2000
"""How long one writer waits for another; longer makes requests pile up behind a stuck replica."""

QUICK_BUSY_MS: Final = 500
_DURABLE: Final = ("journal_mode=WAL", "synchronous=FULL", f"busy_timeout={BUSY_MS}")
_QUICK: Final = (
    "journal_mode=WAL",
    "synchronous=NORMAL",
    f"busy_timeout={QUICK_BUSY_MS}",
    "wal_autocheckpoint=0",  # checkpoints wait for the disk: `checkpoint`, in a thread
)
_OTHERS: Final = 0o077


class Database:
    """The state of all replicas that share one file; its methods block and may be used by threads.

    Raises (also each use):
        StateError: `tokens.readable` where others could read the file.
        DependencyError: `tokens.storage` where it cannot be used.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        _create_private(path)
        self.engine: Engine = create_engine(f"sqlite:///{path}", pool_size=2, max_overflow=2)
        event.listen(self.engine, "connect", partial(_prepare, _DURABLE))
        record = path.with_name("record.sqlite")
        _create_private(record)
        self.record: Engine = create_engine(f"sqlite:///{record}", pool_size=2, max_overflow=2)
        event.listen(self.record, "connect", partial(_prepare, _QUICK))
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


def _create_private(path: Path) -> None:
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))
        found = path.stat()
    except OSError as error:
        raise DependencyError(
            "tokens.storage", f"{path} cannot be created: {error.strerror}", retry_after_s=1
        ) from error
    if S_IMODE(found.st_mode) & _OTHERS or found.st_uid not in {os.geteuid(), 0}:
        raise StateError(
            "tokens.readable",
            f"{path} belongs to user {found.st_uid} with mode {S_IMODE(found.st_mode):o}: others"
            " may have read its keys",
            hint="remove it: new keys are made; if nobody read it, chmod 600",
        )


def _prepare(pragmas: Sequence[str], connection: Any, _record: object) -> None:  # noqa: ANN401  # of the DB-API
    cursor = connection.cursor()
    for pragma in pragmas:
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()
