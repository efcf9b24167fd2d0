"""Incidents in the database: their records, entry by entry, and the lease of who acts on them.

An entry is stored with its number as part of the key, so of two controllers that append the same
number one is refused: every transition happens once. What `append_entry` returned for is on disk.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Engine,
    Integer,
    String,
    Table,
    Text,
    delete,
    insert,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from meshwarden.adapters.storage.database import METADATA
from meshwarden.kernel import DependencyError, StateError
from meshwarden.response import Entry, EntryKind, Incident, fold

_ENTRIES: Final = Table(
    "incident_entries",
    METADATA,
    Column("incident", String(64), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("time", BigInteger, nullable=False),
    Column("kind", String(16), nullable=False),
    Column("actor", String(128), nullable=False),
    Column("data", Text, nullable=False),
    Column("previous", String(64), nullable=False),
    Column("hash", String(64), nullable=False),
)
_LEASES: Final = Table(
    "leases",
    METADATA,
    Column("name", String(64), primary_key=True),
    Column("holder", String(128), nullable=False),
    Column("until", BigInteger, nullable=False),
)
CONTROLLER: Final = "response-controller"


class IncidentStore:
    """All incidents of one control plane, or of the replicas that share a database."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def append_entry(self, incident_id: str, entry: Entry) -> None:
        """Keep `entry` durably.

        Raises:
            StateError: `incident.taken` where another controller wrote that number first.
            DependencyError: `incident.write`.
        """
        row = {
            "incident": incident_id,
            "number": entry.number,
            "time": entry.time,
            "kind": entry.kind.value,
            "actor": entry.actor,
            "data": json.dumps(entry.data, separators=(",", ":"), allow_nan=False),
            "previous": entry.previous,
            "hash": entry.hash,
        }
        with self._connected(writing=True) as connection:
            try:
                connection.execute(insert(_ENTRIES).values(row))
            except IntegrityError as error:
                raise StateError(
                    "incident.taken",
                    f"incident {incident_id} went on meanwhile: entry {entry.number} exists",
                    hint="read it again",
                ) from error

    def load_record(self, incident_id: str) -> list[Entry]:
        """Return the entries of an incident in order; empty where there is none."""
        chosen = select(_ENTRIES).where(_ENTRIES.c.incident == incident_id)
        with self._connected() as connection:
            rows = connection.execute(chosen.order_by(_ENTRIES.c.number)).mappings()
            return [
                Entry(
                    number=row["number"],
                    time=row["time"],
                    kind=EntryKind(row["kind"]),
                    actor=row["actor"],
                    data=json.loads(row["data"]),
                    previous=row["previous"],
                    hash=row["hash"],
                )
                for row in rows
            ]

    def load_incident(self, incident_id: str) -> Incident:
        """Return an incident; StateError `incident.empty` where there is none of that id."""
        return fold(self.load_record(incident_id), incident_id=incident_id)

    def incident_ids(self, *, limit: int = 10_000) -> list[str]:
        """Return the ids of the newest `limit` incidents, oldest first."""
        first = select(_ENTRIES.c.incident).where(_ENTRIES.c.number == 0)
        newest = first.order_by(_ENTRIES.c.time.desc(), _ENTRIES.c.incident.desc()).limit(limit)
        with self._connected() as connection:
            return list(reversed(connection.execute(newest).scalars().all()))

    def take_lease(self, holder: str, *, now: int, ttl_s: int, name: str = CONTROLLER) -> bool:
        """Return whether `holder` may act until `now` + `ttl_s`: nobody else holds the lease.

        Args:
            holder: who asks; unique to one process.
            now: nanoseconds since the epoch, UTC.
            ttl_s: for how long; renewed well before it ends.
            name: of the lease.
        """
        until = now + ttl_s * 10**9
        ours_or_over = (_LEASES.c.holder == holder) | (_LEASES.c.until <= now)
        renewed = update(_LEASES).where(_LEASES.c.name == name, ours_or_over)
        with self._connected(writing=True) as connection:
            if connection.execute(renewed.values(holder=holder, until=until)).rowcount == 1:
                return True
            try:
                with connection.begin_nested():
                    connection.execute(
                        insert(_LEASES).values(name=name, holder=holder, until=until)
                    )
            except IntegrityError:
                return False
            return True

    def give_lease(self, holder: str, *, name: str = CONTROLLER) -> None:
        """Let go of the lease where `holder` has it."""
        held = delete(_LEASES).where(_LEASES.c.name == name, _LEASES.c.holder == holder)
        with self._connected(writing=True) as connection:
            connection.execute(held)

    @contextmanager
    def _connected(self, *, writing: bool = False) -> Iterator[Connection]:
        try:
            with self._engine.begin() if writing else self._engine.connect() as connection:
                yield connection
        except SQLAlchemyError as error:
            raise DependencyError(
                "incident.write" if writing else "incident.read",
                f"the database of incidents does not work: {error}",
                retry_after_s=1,
            ) from error
