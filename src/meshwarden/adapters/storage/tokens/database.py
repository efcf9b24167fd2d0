"""The database of the token service: SQLite in WAL mode, a file that only this account can read.

Commits are durable (`synchronous=FULL`) when they return, so that nothing is acknowledged that a
crash would forget. Records of issued tokens are the exception (`NORMAL`): they survive the death of
this process, and of the machine all but those of its last moments, whose tokens died with it.
"""

import contextlib
import os
from collections.abc import Iterator
from functools import partial
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
        event.listen(self.engine, "connect", partial(_prepare, "FULL"))
        self.quick: Engine = create_engine(f"sqlite:///{path}", pool_size=1, max_overflow=1)
        event.listen(self.quick, "connect", partial(_prepare, "NORMAL"))
        with self.transaction() as connection:
            metadata.create_all(connection)

    @contextlib.contextmanager
    def transaction(self, *, quick: bool = False) -> Iterator[Connection]:
        """Begin; commit at the end, or roll back and raise DependencyError."""
        try:
            with (self.quick if quick else self.engine).begin() as connection:
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
        self.quick.dispose()


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


def _prepare(synchronous: str, connection: Any, _record: object) -> None:  # noqa: ANN401  # of the DB-API
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", f"synchronous={synchronous}", f"busy_timeout={BUSY_MS}"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()
