"""Shared Signals in the database: events received, streams, and what waits to be sent."""

from dataclasses import dataclass

from sqlalchemy import delete, insert, select, update
from sqlalchemy.dialects.sqlite import insert as upsert

from meshwarden.adapters.storage.tokens.database import Database
from meshwarden.adapters.storage.tokens.schema import outbox, received, streams
from meshwarden.tokens.signals.streams import Stream, stream_from_text, stream_to_text


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """One event that is to be sent."""

    id: int
    stream_id: str
    token: str
    time: float
    attempts: int


def store_received(
    database: Database, *, issuer: str, jti: str, time: float, event: str, subject: str
) -> bool:
    """Keep that an event was received, durably; return whether it is new or was not applied."""
    with database.transaction() as connection:
        statement = upsert(received).values(
            issuer=issuer, jti=jti, time=time, event=event, subject=subject, applied=False
        )
        connection.execute(statement.on_conflict_do_nothing())
        key = (received.c.issuer == issuer) & (received.c.jti == jti)
        return not connection.execute(select(received.c.applied).where(key)).scalar_one()


def mark_applied(database: Database, *, issuer: str, jti: str) -> None:
    """Keep that an event has had its effect."""
    key = (received.c.issuer == issuer) & (received.c.jti == jti)
    with database.transaction() as connection:
        connection.execute(update(received).where(key).values(applied=True))


def forget_received(database: Database, before: float) -> None:
    """Forget events that are too old to be taken again."""
    with database.transaction() as connection:
        connection.execute(delete(received).where(received.c.time < before))


def load_streams(database: Database) -> list[Stream]:
    """Return all streams."""
    with database.transaction() as connection:
        rows = connection.execute(select(streams.c.data).order_by(streams.c.stream_id)).scalars()
        return [stream_from_text(text) for text in rows]


def store_stream(database: Database, stream: Stream) -> None:
    """Keep a stream, new or changed."""
    values = {"owner": stream.owner, "data": stream_to_text(stream)}
    with database.transaction() as connection:
        statement = upsert(streams).values(stream_id=stream.stream_id, **values)
        connection.execute(
            statement.on_conflict_do_update(index_elements=["stream_id"], set_=values)
        )


def remove_stream(database: Database, stream_id: str) -> None:
    """Forget a stream and what waits for it."""
    with database.transaction() as connection:
        connection.execute(delete(streams).where(streams.c.stream_id == stream_id))
        connection.execute(delete(outbox).where(outbox.c.stream_id == stream_id))


def post(database: Database, stream_id: str, token: str, *, now: float, limit: int) -> None:
    """Have an event wait to be sent; beyond `limit` the oldest of its stream gives way."""
    with database.transaction() as connection:
        row = {"stream_id": stream_id, "token": token, "time": now, "due": now, "attempts": 0}
        connection.execute(insert(outbox).values(row))
        kept = (
            select(outbox.c.id)
            .where(outbox.c.stream_id == stream_id)
            .order_by(outbox.c.id.desc())
            .limit(limit)
        )
        mine = outbox.c.stream_id == stream_id
        connection.execute(delete(outbox).where(mine & outbox.c.id.not_in(kept)))


def load_due(database: Database, *, now: float, limit: int = 100) -> list[Waiting]:
    """Return what is to be sent now, the oldest first."""
    statement = select(outbox).where(outbox.c.due <= now).order_by(outbox.c.id).limit(limit)
    with database.transaction() as connection:
        rows = connection.execute(statement).all()
    return [
        Waiting(
            id=row.id, stream_id=row.stream_id, token=row.token, time=row.time,
            attempts=row.attempts,
        )
        for row in rows
    ]  # fmt: skip


def sent(database: Database, number: int) -> None:
    """Forget an event that was taken, or will never be."""
    with database.transaction() as connection:
        connection.execute(delete(outbox).where(outbox.c.id == number))


def put_off(database: Database, number: int, *, due: float, attempts: int) -> None:
    """Have an event wait for another try."""
    with database.transaction() as connection:
        change = update(outbox).where(outbox.c.id == number)
        connection.execute(change.values(due=due, attempts=attempts))
