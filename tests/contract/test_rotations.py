"""What every rotation of a secret does: on files, on a real PostgreSQL, by a command."""

import asyncio
import contextlib
import json
import stat
import sys
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import pytest
from tests.e2e.postgres import ADMIN_PASSWORD, NEEDS_POSTGRES, Postgres, running_postgres

from meshwarden.adapters.clock import SystemClock
from meshwarden.adapters.rotation import (
    CommandRotation,
    Database,
    FileRotation,
    PostgresRotation,
)
from meshwarden.kernel import DependencyError, VerificationError
from meshwarden.response import Rotation

OVERLAP_S = 1.0
SCRIPT = """
import pathlib, sys
place = pathlib.Path(sys.argv[1])
place.with_name("old").write_text(place.read_text())
fresh = place.with_name("fresh")
fresh.write_text(sys.stdin.readline().strip())
fresh.chmod(place.stat().st_mode)
fresh.replace(place)
"""


@dataclass(kw_only=True)
class Held:
    """A secret: what replaces it, where peers read it, and whether one is good."""

    rotation: Rotation
    place: Path
    is_good: Callable[[str], Awaitable[bool]]
    settles: bool = True

    def current(self) -> str:
        return self.place.read_text()


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    with running_postgres() as one:
        yield one


@pytest.fixture(params=["file", "command", pytest.param("postgres", marks=NEEDS_POSTGRES)])
def held(request: pytest.FixtureRequest, tmp_path: Path) -> Held:
    if request.param == "postgres":
        return _on_postgres(request.getfixturevalue("postgres"), tmp_path)
    place = tmp_path / "secret"
    place.write_text("the first secret")
    place.chmod(0o640)
    if request.param == "command":
        argv = (sys.executable, "-c", SCRIPT, str(place))
        return Held(
            rotation=CommandRotation(argv=argv), place=place, settles=False,
            is_good=lambda text: _is_in(text, place, place.with_name("old")),
        )  # fmt: skip
    return Held(
        rotation=FileRotation(path=place, clock=SystemClock(), overlap_s=OVERLAP_S),
        place=place,
        is_good=lambda text: _is_in(text, place, place.with_name("secret.previous")),
    )


async def _is_in(text: str, *places: Path) -> bool:
    for place in places:
        with contextlib.suppress(FileNotFoundError):
            if place.read_text() == text:
                return True
    return False


def _on_postgres(postgres: Postgres, folder: Path) -> Held:
    postgres.sql("ALTER ROLE app_a LOGIN PASSWORD 'first-password' VALID UNTIL 'infinity'")
    place, admin = folder / "credentials.json", folder / "admin"
    place.write_text(json.dumps({"user": "app_a", "password": "first-password"}))
    place.chmod(0o640)
    admin.write_text(f"{ADMIN_PASSWORD}\n")
    admin.chmod(0o600)
    rotation = PostgresRotation(
        database=Database(host=str(postgres.host), admin="rotator", admin_password=admin),
        roles=("app_a", "app_b"),
        credentials=place,
        clock=SystemClock(),
        overlap_s=OVERLAP_S,
    )
    return Held(rotation=rotation, place=place, is_good=lambda text: _logs_in(postgres, text))


async def _logs_in(postgres: Postgres, credentials: str) -> bool:
    known = json.loads(credentials)
    try:
        connection = await asyncpg.connect(
            host=str(postgres.host), user=known["user"], password=known["password"],
            database="postgres",
        )  # fmt: skip
    except asyncpg.InvalidAuthorizationSpecificationError:
        return False
    try:
        assert await connection.fetchval("SELECT count(*) FROM entries") is not None
    finally:
        await connection.close()
    return True


async def test_the_old_one_is_good_until_the_overlap_is_over(held: Held) -> None:
    old = held.current()
    assert await held.rotation.check() is None
    assert await held.is_good(old)
    await held.rotation.rotate("incident-1")
    new = held.current()
    assert new != old
    assert await held.is_good(old)
    assert await held.is_good(new)
    said = await held.rotation.settle("incident-1")
    assert await held.is_good(new)
    assert await held.is_good(old) is not held.settles
    for secret in (old, new):
        assert secret not in said
        assert secret not in repr(held.rotation)


async def test_after_a_crash_the_secret_that_peers_have_is_not_replaced_again(held: Held) -> None:
    if not held.settles:
        pytest.skip("a command knows by itself what it has done")
    old = held.current()
    await held.rotation.rotate("incident-1")
    new = held.current()
    await held.rotation.rotate("incident-1")
    assert held.current() == new
    assert await held.is_good(old)
    for _ in range(2):
        assert await held.rotation.settle("incident-1")
    await held.rotation.rotate("incident-2")
    assert held.current() != new
    assert await held.is_good(new)
    await held.rotation.settle("incident-2")
    assert not await held.is_good(new)


async def test_peers_that_read_it_for_each_use_notice_nothing(held: Held) -> None:
    refused = 0
    over = asyncio.Event()

    async def _peer() -> int:
        uses = 0
        nonlocal refused
        while not over.is_set():
            refused += not await held.is_good(held.current())
            uses += 1
            await asyncio.sleep(0)
        return uses

    peer = asyncio.create_task(_peer())
    for number in range(2):
        await held.rotation.rotate(f"incident-{number}")
        await held.rotation.settle(f"incident-{number}")
    over.set()
    assert await peer > 2
    assert refused == 0


async def test_mode_is_kept(held: Held) -> None:
    await held.rotation.rotate("incident-1")
    assert stat.S_IMODE(held.place.stat().st_mode) == 0o640
    await held.rotation.settle("incident-1")


async def test_what_is_not_there_is_said_and_changes_nothing(held: Held) -> None:
    held.place.unlink()
    why = await held.rotation.check()
    if held.settles:
        assert why
    with pytest.raises(DependencyError):
        await held.rotation.rotate("incident-1")
    assert not held.place.exists() or not held.settles
    with contextlib.suppress(DependencyError, VerificationError):
        await held.rotation.settle("incident-1")
