"""Signing keys and other secrets in the database, shared by all replicas."""

from datetime import UTC, datetime

from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from sqlalchemy import delete, select
from sqlalchemy.dialects.sqlite import insert

from meshwarden.adapters.storage.tokens.database import Database
from meshwarden.adapters.storage.tokens.schema import secrets, signing_keys
from meshwarden.kernel import StateError
from meshwarden.tokens import SigningKey, restore_key
from meshwarden.tokens.jws import PrivateKey


def load_keys(database: Database) -> tuple[SigningKey, ...]:
    """Return the keys that are kept, the oldest first; StateError `tokens.damaged`."""
    with database.transaction() as connection:
        rows = connection.execute(select(signing_keys).order_by(signing_keys.c.signs_from)).all()
    try:
        return tuple(
            restore_key(
                _parse(row.pem),
                algorithm=row.algorithm,
                signs_from=datetime.fromtimestamp(row.signs_from, UTC),
                withdrawn=row.withdrawn,
            )
            for row in rows
        )
    except (ValueError, TypeError) as error:
        raise StateError(
            "tokens.damaged", f"a signing key in {database.path} cannot be read",
            hint="remove the file: new keys are made",
        ) from error  # fmt: skip


def store_keys(database: Database, keys: tuple[SigningKey, ...]) -> None:
    """Keep exactly `keys`, in one step."""
    rows = [
        {
            "kid": key.kid,
            "algorithm": key.algorithm,
            "pem": _render(key.key),
            "signs_from": key.signs_from.timestamp(),
            "withdrawn": key.withdrawn,
        }
        for key in keys
    ]
    with database.transaction() as connection:
        kids = [key.kid for key in keys]
        connection.execute(delete(signing_keys).where(signing_keys.c.kid.not_in(kids)))
        for row in rows:
            statement = insert(signing_keys).values(row)
            changes = {"withdrawn": row["withdrawn"]}
            connection.execute(
                statement.on_conflict_do_update(index_elements=["kid"], set_=changes)
            )


def shared_secret(database: Database, name: str, fresh: bytes) -> bytes:
    """Return the secret of that name; `fresh` becomes it where there was none."""
    with database.transaction() as connection:
        statement = insert(secrets).values(name=name, value=fresh).on_conflict_do_nothing()
        connection.execute(statement)
        found: bytes = connection.execute(
            select(secrets.c.value).where(secrets.c.name == name)
        ).scalar_one()
    return found


def _render(key: PrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def _parse(pem: str) -> PrivateKey:
    key: PrivateKey = load_pem_private_key(pem.encode(), None)  # type: ignore[assignment]
    return key
