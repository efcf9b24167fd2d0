"""The one database of a control plane: SQLite by default, PostgreSQL where replicas share it.

Each part declares its tables on `METADATA` in its own module here; `open_database` makes them.
SQLite runs in WAL mode with every commit synced, in a file that only its user can open; a write
waits for another writer at most `BUSY_S`.
"""

import os
import sqlite3
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Engine, MetaData, create_engine, event
from sqlalchemy.exc import SQLAlchemyError

from meshwarden.kernel import DependencyError

METADATA: Final = MetaData()
BUSY_S: Final = 5.0


def open_database(place: Path | str) -> Engine:
    """Return an engine whose tables exist.

    Args:
        place: a file, made where it is missing, or an SQLAlchemy URL (`postgresql+asyncpg` is not
            meant here: callers run it in a thread).

    Raises:
        DependencyError: `database.open`.
    """
    try:
        if isinstance(place, Path):
            os.close(os.open(place, os.O_RDWR | os.O_CREAT, 0o600))
            engine = create_engine(f"sqlite:///{place}", connect_args={"timeout": BUSY_S})
            event.listen(engine, "connect", _set_up)
        else:
            engine = create_engine(place, pool_pre_ping=True)
        METADATA.create_all(engine)
    except (SQLAlchemyError, OSError) as error:
        raise DependencyError(
            "database.open",
            f"the database {_shown(place)} cannot be opened: {error}",
            hint="check the path, its permissions and the free space",
        ) from error
    return engine


def _set_up(connection: sqlite3.Connection, _: Any) -> None:  # noqa: ANN401  # SQLAlchemy's record
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")


def _shown(place: Path | str) -> str:
    """Return what may stand in an error: never a password."""
    return str(place) if isinstance(place, Path) else place.partition("://")[0]
