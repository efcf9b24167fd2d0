"""A database user's password, replaced on a real PostgreSQL while things go wrong."""

import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from tests.e2e.postgres import ADMIN_PASSWORD, NEEDS_POSTGRES, Postgres, running_postgres

from meshwarden.adapters.clock import SystemClock
from meshwarden.adapters.rotation import Database, PostgresRotation
from meshwarden.adapters.rotation import postgres as postgres_module
from meshwarden.kernel import DependencyError

pytestmark = [NEEDS_POSTGRES, pytest.mark.e2e]


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    with running_postgres() as one:
        yield one


@pytest.fixture
def rotation(postgres: Postgres, tmp_path: Path) -> PostgresRotation:
    postgres.sql("ALTER ROLE app_a LOGIN PASSWORD 'first-password' VALID UNTIL 'infinity'")
    place, admin = tmp_path / "credentials.json", tmp_path / "admin"
    place.write_text(json.dumps({"user": "app_a", "password": "first-password"}))
    admin.write_text(ADMIN_PASSWORD)
    admin.chmod(0o600)
    return PostgresRotation(
        database=Database(host=str(postgres.host), admin="rotator", admin_password=admin),
        roles=("app_a", "app_b"),
        credentials=place,
        clock=SystemClock(),
        overlap_s=0.5,
    )


@pytest.fixture
async def session(postgres: Postgres, rotation: PostgresRotation) -> AsyncIterator[Any]:
    """A session of the role whose turn it is, as a thief may hold one."""
    assert rotation.roles[0] == "app_a"
    connection = await asyncpg.connect(
        host=str(postgres.host), user="app_a", password="first-password", database="postgres"
    )
    yield connection
    connection.terminate()


async def test_sessions_of_the_old_role_end_with_the_overlap(
    rotation: PostgresRotation, session: Any
) -> None:
    await rotation.rotate("1")
    assert await session.fetchval("SELECT count(*) FROM entries") is not None
    said = await rotation.settle("1")
    assert said == "app_a may not log in any more, its old password was refused"
    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
        await session.fetchval("SELECT 1")


async def test_the_server_is_never_told_a_password(
    postgres: Postgres, rotation: PostgresRotation
) -> None:
    await rotation.rotate("1")
    password = json.loads(rotation.credentials.read_text())["password"]
    await rotation.settle("1")
    said = postgres.log.read_text()
    assert "SCRAM-SHA-256$" in said
    assert password not in said


async def test_without_us_the_old_password_ends_by_itself(
    postgres: Postgres, rotation: PostgresRotation
) -> None:
    await rotation.rotate("1")
    left = postgres.sql(
        "SELECT rolvaliduntil <= clock_timestamp() + interval '1 s' FROM pg_roles"
        " WHERE rolname = 'app_a'"
    )
    assert left == "t"


async def test_killed_before_the_old_role_expires_the_next_try_has_it_expire(
    postgres: Postgres, rotation: PostgresRotation, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def _dies(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(postgres_module, "_expire", _dies)
        with pytest.raises(KeyboardInterrupt):
            await rotation.rotate("1")
    given = rotation.credentials.read_text()
    await rotation.rotate("1")
    assert rotation.credentials.read_text() == given
    finite = "SELECT isfinite(rolvaliduntil) FROM pg_roles WHERE rolname = 'app_a'"
    assert postgres.sql(finite) == "t"
    await rotation.settle("1")
    assert postgres.sql("SELECT rolcanlogin FROM pg_roles WHERE rolname = 'app_a'") == "f"


@pytest.mark.parametrize(
    "credentials",
    [b"", b"[]", b'{"user": "postgres", "password": "x"}', b'{"user": "app_a"}', b"[" * 10_000],
)
async def test_credentials_that_name_no_role_of_ours_are_refused(
    rotation: PostgresRotation, credentials: bytes
) -> None:
    rotation.credentials.write_bytes(credentials)
    assert await rotation.check()
    with pytest.raises(DependencyError):
        await rotation.rotate("1")


async def test_a_database_that_refuses_us_changes_nothing_and_hears_no_secret(
    rotation: PostgresRotation,
) -> None:
    assert rotation.database.admin_password
    rotation.database.admin_password.write_text("wrong-password-of-ours")
    before = rotation.credentials.read_text()
    with pytest.raises(DependencyError) as refused:
        await rotation.rotate("1")
    assert "wrong-password" not in str(refused.value)
    assert rotation.credentials.read_text() == before
    rotation.database.admin_password.chmod(0o644)
    assert "others may read" in (await rotation.check() or "")


@pytest.mark.parametrize("roles", [("a", "a"), ("a", 'b"; DROP TABLE entries; --'), ("A", "b")])
def test_roles_are_two_plain_names(roles: tuple[str, str], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="two different roles"):
        PostgresRotation(
            database=Database(host="/tmp", admin="rotator"),  # noqa: S108
            roles=roles, credentials=tmp_path, clock=SystemClock(),
        )  # fmt: skip
