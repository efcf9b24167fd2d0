"""The database of the token service: SQLite in WAL mode, a file that only this account can read.

Commits are durable (`synchronous=FULL`) when they return, so that nothing is handed out or
acknowledged that a crash would forget; the cost is shared by writing many rows at once.
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from stat import S_IMODE
from typing import Any, Final

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import SQLAlchemyError

from meshwarden.adapters.storage.tokens.schema import metadata
from meshwarden.kernel import DependencyError, StateError

BUSY_MS: Final = 2000
"""How long one writer waits for another; longer makes requests pile up behind a stuck replica."""

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
        event.listen(self.engine, "connect", _prepare)
        with self.transaction() as connection:
            metadata.create_all(connection)

    @contextlib.contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Begin; commit at the end, or roll back and raise DependencyError."""
        try:
            with self.engine.begin() as connection:
                yield connection
        except (SQLAlchemyError, OSError) as error:
            cause = getattr(error, "orig", None) or error
            raise DependencyError(
                "tokens.storage",
                f"the state of the token service in {self.path} cannot be used:"
                f" {type(cause).__name__}: {str(cause)[:120]}",
                hint="free space, and let the account that runs meshwarden write there",
                retry_after_s=1,
            ) from error

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()


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


def _prepare(connection: Any, _record: object) -> None:  # noqa: ANN401  # of the DB-API
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", f"busy_timeout={BUSY_MS}"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()
