"""The one schema of the token service's state. Times are seconds since the epoch."""

from sqlalchemy import (
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
)

metadata = MetaData()

signing_keys = Table(
    "signing_keys",
    metadata,
    Column("kid", String(64), primary_key=True),
    Column("algorithm", String(16), nullable=False),
    Column("pem", Text, nullable=False),
    Column("signs_from", Float, nullable=False),
    Column("withdrawn", Boolean, nullable=False),
)
links = Table(
    "links",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("txn", String(64), nullable=False),
    Column("time", Integer, nullable=False),
    Column("requester", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("session", String(64)),
    Column("scopes", Text, nullable=False),
    Column("expires", Integer, nullable=False),
    Column("digest", String(64), nullable=False),
    Column("replaced", String(64)),
    Column("risk", Float),
    Column("factors", Text),
    Index("links_by_transaction", "txn"),
    Index("links_by_time", "time"),
)
revocations = Table(
    "revocations",
    metadata,
    Column("kind", String(16), primary_key=True),
    Column("value", Text, primary_key=True),
    Column("time", Float, nullable=False),
    Column("until", Float, nullable=False),
    Column("reason", Text, nullable=False),
)
spent = Table(
    "spent",
    metadata,
    Column("digest", String(64), primary_key=True),
    Column("expires", Integer, nullable=False),
)
histories = Table(
    "histories",
    metadata,
    Column("subject", String(64), primary_key=True),
    Column("updated", Integer, nullable=False),
    Column("data", LargeBinary, nullable=False),
)
secrets = Table(
    "secrets",
    metadata,
    Column("name", String(32), primary_key=True),
    Column("value", LargeBinary, nullable=False),
)
received = Table(
    "received",
    metadata,
    Column("issuer", Text, primary_key=True),
    Column("jti", Text, primary_key=True),
    Column("time", Float, nullable=False),
    Column("event", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("applied", Boolean, nullable=False),
)
streams = Table(
    "streams",
    metadata,
    Column("stream_id", String(64), primary_key=True),
    Column("owner", Text, nullable=False),
    Column("data", Text, nullable=False),
)
outbox = Table(
    "outbox",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("stream_id", String(64), nullable=False),
    Column("token", Text, nullable=False),
    Column("time", Float, nullable=False),
    Column("due", Float, nullable=False),
    Column("attempts", Integer, nullable=False),
)
