"""Chain links, revocations and spent tokens in the database."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Final

from sqlalchemy import delete, func, select
from sqlalchemy.dialects.sqlite import insert as upsert

from meshwarden.adapters.storage.tokens.database import Database
from meshwarden.adapters.storage.tokens.schema import links, revocations, spent
from meshwarden.tokens import Holder, Link, Revocation, RevokedKind
from meshwarden.tokens.risk import Factor

MAX_LINKS: Final = 1000
MAX_ASKED: Final = 500
_COLUMNS: Final = tuple(column.name for column in links.columns if column.name != "id")
_INSERT_LINK: Final = (
    f"INSERT INTO links ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))})"  # noqa: S608
)


def append_links(database: Database, found: Sequence[Link]) -> None:
    """Keep links of chains; they outlive this process.

    The statement is compiled once: this is the one that every token waits for.
    """
    rows = [
        (
            link.transaction, link.time, link.requester, link.subject, link.session,
            " ".join(link.scopes), link.expires, link.digest, link.replaced, link.risk,
            _render_factors(link.factors),
        )
        for link in found
    ]  # fmt: skip
    database.append(_INSERT_LINK, rows)


def load_chain(database: Database, transaction: str) -> list[Link]:
    """Return the links of one transaction, the oldest first."""
    return _select_links(database, links.c.txn == transaction)


def load_holders(database: Database, transactions: Sequence[str]) -> dict[str, list[Holder]]:
    """Return who asked for tokens of these transactions, `MAX_ASKED` of them at a time.

    However often a workload asked, it is one holder for each set of scopes.
    """
    found: dict[str, list[Holder]] = {}
    for start in range(0, len(transactions), MAX_ASKED):
        some = transactions[start : start + MAX_ASKED]
        columns = (links.c.txn, links.c.requester, links.c.scopes)
        statement = select(*columns, func.min(links.c.time)).where(links.c.txn.in_(some))
        with database.transaction(record=True) as connection:
            rows = connection.execute(statement.group_by(*columns)).all()
        for txn, requester, scopes, since in rows:
            holder = Holder(requester=requester, scopes=tuple(scopes.split(" ")), since=since)
            found.setdefault(txn, []).append(holder)
    return found


def _select_links(database: Database, condition: object) -> list[Link]:
    statement = select(links).where(condition).order_by(links.c.id).limit(MAX_LINKS)  # type: ignore[arg-type]
    with database.transaction(record=True) as connection:
        rows = connection.execute(statement).all()
    return [
        Link(
            transaction=row.txn,
            time=row.time,
            requester=row.requester,
            subject=row.subject,
            session=row.session,
            scopes=tuple(row.scopes.split(" ")),
            expires=row.expires,
            digest=row.digest,
            replaced=row.replaced,
            risk=row.risk,
            factors=_parse_factors(row.factors),
        )
        for row in rows
    ]


def _render_factors(factors: Sequence[Factor]) -> str | None:
    if not factors:
        return None
    return ",".join(f"{one.name}={one.weight:.2f}" for one in factors)


def _parse_factors(text: str | None) -> tuple[Factor, ...]:
    pairs = (one.partition("=") for one in text.split(",")) if text else ()
    return tuple(Factor(name=name, weight=float(weight)) for name, _, weight in pairs)


def store_revocations(database: Database, found: Iterable[Revocation]) -> None:
    """Keep revocations, durably; a later one of the same thing replaces the earlier."""
    with database.transaction() as connection:
        for one in found:
            statement = upsert(revocations).values(
                kind=one.kind.value,
                value=one.value,
                time=one.time.timestamp(),
                until=one.until.timestamp(),
                reason=one.reason,
            )
            changes = {
                name: getattr(statement.excluded, name) for name in ("time", "until", "reason")
            }
            connection.execute(
                statement.on_conflict_do_update(index_elements=["kind", "value"], set_=changes)
            )


def load_revocations(database: Database, *, now: datetime) -> list[Revocation]:
    """Return what has not ended."""
    with database.transaction() as connection:
        statement = select(revocations).where(revocations.c.until > now.timestamp())
        rows = connection.execute(statement).all()
    return [
        Revocation(
            kind=RevokedKind(row.kind),
            value=row.value,
            time=datetime.fromtimestamp(row.time, UTC),
            until=datetime.fromtimestamp(row.until, UTC),
            reason=row.reason,
        )
        for row in rows
    ]


def spend(database: Database, digest: str, *, expires: int) -> bool:
    """Return whether this is the first use of a token; kept until it has expired."""
    with database.transaction() as connection:
        statement = upsert(spent).values(digest=digest, expires=expires).on_conflict_do_nothing()
        return connection.execute(statement).rowcount == 1


def forget(database: Database, *, now: datetime, links_s: int) -> None:
    """Remove what has ended: spent tokens, revocations, links older than `links_s`."""
    moment = now.timestamp()
    with database.transaction() as connection:
        connection.execute(delete(spent).where(spent.c.expires < moment - 60))
        connection.execute(delete(revocations).where(revocations.c.until < moment))
    with database.transaction(record=True) as connection:
        connection.execute(delete(links).where(links.c.time < moment - links_s))
