"""What is kept of subjects for risk: sketches under keyed names, erased one by one or by age."""

from collections.abc import Mapping
from typing import Final

from sqlalchemy import delete, select

from meshwarden.adapters.storage.tokens.database import Database
from meshwarden.adapters.storage.tokens.schema import histories

_STORE: Final = (  # compiled once: thousands of rows at a time
    "INSERT INTO histories (subject, updated, data) VALUES (?, ?, ?)"
    " ON CONFLICT (subject) DO UPDATE SET updated = excluded.updated, data = excluded.data"
)


def load_history(database: Database, subject: str) -> bytes | None:
    """Return the history kept under a subject's name; None where there is none."""
    statement = select(histories.c.data).where(histories.c.subject == subject)
    with database.transaction() as connection:
        found: bytes | None = connection.execute(statement).scalar_one_or_none()
    return found


def store_histories(database: Database, found: Mapping[str, tuple[int, bytes]]) -> None:
    """Keep histories: by a subject's name, when it was last changed, and its bytes."""
    rows = [(subject, updated, data) for subject, (updated, data) in found.items()]
    with database.transaction() as connection:
        connection.exec_driver_sql(_STORE, rows)


def erase_history(database: Database, subject: str) -> bool:
    """Forget a subject; return whether anything was known."""
    with database.transaction() as connection:
        statement = delete(histories).where(histories.c.subject == subject)
        return connection.execute(statement).rowcount > 0


def forget_histories(database: Database, before: int) -> None:
    """Forget subjects that were not seen since an instant."""
    with database.transaction() as connection:
        connection.execute(delete(histories).where(histories.c.updated < before))
