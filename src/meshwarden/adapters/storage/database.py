"""The databases of a control plane: SQLite by default, PostgreSQL where replicas share one.

Each part declares its tables in its own module here. An SQLite file is one that only its user can
open, in WAL mode; a durable one has every commit on disk when it returns, so that nothing is
acknowledged that a crash would forget.
"""

import os
import sqlite3
from functools import partial
from pathlib import Path
from stat import S_IMODE
from typing import Any, Final

from sqlalchemy import Engine, MetaData, create_engine, event
from sqlalchemy.exc import SQLAlchemyError

from meshwarden.kernel import DependencyError, StateError

METADATA: Final = MetaData()
"""The tables of `open_database`."""

BUSY_S: Final = 5.0
"""How long one writer waits for another."""

_DURABLE: Final = ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON")
_QUICK: Final = (
    "journal_mode = WAL",
    "synchronous = NORMAL",
    "wal_autocheckpoint = 0",  # checkpoints wait for the disk: the owner makes them, in a thread
)
_OTHERS: Final = 0o077


def open_database(place: Path | str) -> Engine:
    """Return an engine with the tables of `METADATA`.

    Args:
        place: a file, made where it is missing, or an SQLAlchemy URL (`postgresql+asyncpg` is not
            meant here: callers run it in a thread).

    Raises:
        StateError: `database.readable`.
        DependencyError: `database.open`.
    """
    try:
        engine = (
            open_sqlite(place)
            if isinstance(place, Path)
            else create_engine(place, pool_pre_ping=True)
        )
        METADATA.create_all(engine)
    except SQLAlchemyError as error:
        raise _not_opened(place, error) from error
    return engine


def open_sqlite(path: Path, *, durable: bool = True, busy_s: float = BUSY_S) -> Engine:
    """Return an engine on the file `path`, made where it is missing.

    Args:
        path: the file.
        durable: whether a commit waits for the disk. Where it does not, the file survives the death
            of its process, and of the machine all but its last moments.
        busy_s: how long a write waits for another writer.

    Raises:
        StateError: `database.readable`, others may have read what it keeps.
        DependencyError: `database.open`.
    """
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))
        found = path.stat()
    except OSError as error:
        raise _not_opened(path, error) from error
    if S_IMODE(found.st_mode) & _OTHERS or found.st_uid not in {os.geteuid(), 0}:
        raise StateError(
            "database.readable",
            f"{path} belongs to user {found.st_uid} with mode {S_IMODE(found.st_mode):o}: others"
            " may have read its keys",
            hint="remove it: new keys are made; if nobody read it, chmod 600",
        )
    engine = create_engine(
        f"sqlite:///{path}", connect_args={"timeout": busy_s}, pool_size=2, max_overflow=2
    )
    event.listen(engine, "connect", partial(_set_up, _DURABLE if durable else _QUICK))
    return engine


def _set_up(pragmas: tuple[str, ...], connection: sqlite3.Connection, _: Any) -> None:  # noqa: ANN401  # SQLAlchemy's record
    for pragma in pragmas:
        connection.execute(f"PRAGMA {pragma}")


def _not_opened(place: Path | str, error: Exception) -> DependencyError:
    shown = place if isinstance(place, Path) else place.partition("://")[0]  # never a password
    return DependencyError(
        "database.open",
        f"the database {shown} cannot be opened: {error}",
        hint="check the path, its permissions and the free space",
        retry_after_s=1,
    )
