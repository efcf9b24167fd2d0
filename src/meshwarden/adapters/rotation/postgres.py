"""A database user's password on PostgreSQL: two roles take turns, so that peers notice nothing.

Both roles are members of the one that owns the privileges. The credentials' file (JSON: `user`,
`password`) names the one whose turn it is; services read it for each new connection. Steps:

1. The other role gets a new password, and may log in.
2. The credentials' file names it, in one step.
3. The role whose turn it was may log in until the overlap is over: the server itself sees to that
   (VALID UNTIL), also where nobody comes back.
4. `settle`: it may not log in at all, its sessions are ended, and its old password is tried.

The server is given a verifier, never a password (`scram`).
"""

import asyncio
import contextlib
import json
import re
import secrets
import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import asyncpg

from meshwarden.adapters.rotation.place import Whose, folder_of
from meshwarden.adapters.rotation.scram import render_verifier
from meshwarden.kernel import Clock, DependencyError, VerificationError

SECRET_BYTES: Final = 32
ANSWER_S: Final = 10.0
_ROLE: Final = re.compile(r"[a-z_][a-z0-9_]{0,62}")
_UNTIL: Final = (
    "SELECT (clock_timestamp() + $2)::text FROM pg_roles"
    " WHERE rolname = $1 AND NOT isfinite(coalesce(rolvaliduntil, 'infinity'))"
)
_LEFT: Final = (
    "SELECT extract(epoch FROM rolvaliduntil - clock_timestamp())::float8 FROM pg_roles"
    " WHERE rolname = $1 AND isfinite(rolvaliduntil)"
)
_END_SESSIONS: Final = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = $1"
_Connection = Any  # asyncpg has no types


@dataclass(frozen=True, slots=True, kw_only=True)
class Database:
    """Where the database is, and as whom passwords are changed there.

    Attributes:
        host: directory of its Unix socket, or a host name, which needs `ca`.
        port: its port.
        name: the database.
        admin: role with CREATEROLE and admin rights over both roles.
        admin_password: file that holds its password alone; None: the socket's own word (`peer`).
        ca: certificates by which the server's is verified, with its name.
    """

    host: str
    port: int = 5432
    name: str = "postgres"
    admin: str
    admin_password: Path | None = None
    ca: Path | None = None


@dataclass(slots=True, kw_only=True)
class PostgresRotation:
    """The password that the file `credentials` holds, for one of two `roles`.

    Attributes:
        database: where.
        roles: the two that take turns.
        credentials: JSON file for whoever logs in.
        clock: the time of day, which the database's own need not be.
        overlap_s: how long the old password stays good, in seconds.
    """

    database: Database
    roles: tuple[str, str]
    credentials: Path
    clock: Clock
    overlap_s: float = 5.0
    generate: Callable[[int], str] = secrets.token_urlsafe
    _replaced: dict[str, str] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        if not all(_ROLE.fullmatch(role) for role in self.roles) or len(set(self.roles)) != 2:
            raise ValueError("two different roles, of lower-case letters, digits and _")

    @property
    def name(self) -> str:
        """Database and roles."""
        return f"{self.database.name} of {' and '.join(self.roles)}"

    async def check(self) -> str | None:
        """Return why it cannot be replaced: the file, the database or a role is not there."""
        try:
            await asyncio.to_thread(self._read)
            async with self._admin() as admin:
                found = await admin.fetch(
                    "SELECT rolname FROM pg_roles WHERE rolname = ANY($1)", list(self.roles)
                )
        except DependencyError as error:
            return error.message
        missing = set(self.roles) - {row["rolname"] for row in found}
        return f"no role {', '.join(sorted(missing))}" if missing else None

    async def rotate(self, key: str) -> None:
        """Go through the steps 1 to 3; what was done before a crash is not done twice."""
        now, whose = await asyncio.to_thread(self._read)
        if now.get("rotation") != key:
            other = self._other(str(now["user"]))
            password = self.generate(SECRET_BYTES)
            async with self._admin() as admin:
                await _let_in(admin, other, password)
            fresh = {"user": other, "password": password, "rotation": key}
            await asyncio.to_thread(self._write, fresh, whose)
            self._replaced[str(now["user"])] = str(now["password"])
        old = self._other(await asyncio.to_thread(self._current))
        async with self._admin() as admin:
            await _expire(admin, old, self.overlap_s)

    async def settle(self, key: str) -> str:
        """End the overlap; return what shows that the old password is refused."""
        del key
        old = self._other(await asyncio.to_thread(self._current))
        async with self._admin() as admin:
            left_s = await admin.fetchval(_LEFT, old)
            await asyncio.sleep(min(max(0.0, left_s or 0.0), self.overlap_s))
            if await _shut_out(admin, old):
                raise VerificationError("rotate.role", f"{old} may still log in")
        tried = await self._is_refused(old)
        return f"{old} may not log in any more" + (", its old password was refused" * tried)

    async def _is_refused(self, role: str) -> bool:
        """Return whether the old password was tried; VerificationError where it is good."""
        password = self._replaced.pop(role, None)
        if password is None:
            return False  # nobody remembers it: this process was started since
        try:
            async with _connected(self.database, role, password):
                pass
        except DependencyError as error:
            if isinstance(error.__cause__, asyncpg.InvalidAuthorizationSpecificationError):
                return True
            raise
        raise VerificationError("rotate.old_accepted", f"the old password of {role} still is good")

    @contextlib.asynccontextmanager
    async def _admin(self) -> AsyncIterator[_Connection]:
        password = await asyncio.to_thread(_secret_in, self.database.admin_password)
        async with _connected(self.database, self.database.admin, password) as admin:
            yield admin

    def _other(self, role: str) -> str:
        first, second = self.roles
        return second if role == first else first

    def _current(self) -> str:
        return str(self._read()[0]["user"])

    def _read(self) -> tuple[dict[str, Any], Whose]:
        with folder_of(self.credentials) as folder:
            found = folder.read(self.credentials.name)
        if found is None:
            raise DependencyError("rotate.file", f"there is no {self.credentials}")
        try:
            known = json.loads(found[0])
            if known["user"] in self.roles and isinstance(known["password"], str):
                return dict(known), found[1]
        except (ValueError, KeyError, TypeError, RecursionError):
            pass
        raise DependencyError(
            "rotate.credentials", f"{self.credentials} names neither role with a password"
        )

    def _write(self, fresh: dict[str, Any], whose: Whose) -> None:
        with folder_of(self.credentials) as folder:
            folder.write(self.credentials.name, json.dumps(fresh).encode(), whose)


@contextlib.asynccontextmanager
async def _connected(
    database: Database, role: str, password: str | None
) -> AsyncIterator[_Connection]:
    """Be logged in as `role`; what the database refuses is a DependencyError without secrets."""
    try:
        connection = await asyncpg.connect(
            host=database.host, port=database.port, database=database.name, user=role,
            password=password, ssl=_tls(database), timeout=ANSWER_S, command_timeout=ANSWER_S,
        )  # fmt: skip
        try:
            yield connection
        finally:
            await connection.close(timeout=ANSWER_S)
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
        raise DependencyError(
            "rotate.database", f"{database.name} as {role}: {type(error).__name__}", retry_after_s=2
        ) from error


def _tls(database: Database) -> ssl.SSLContext | bool:
    """Return how the server proves who it is; on a Unix socket the file system does."""
    if database.host.startswith("/"):
        return False
    return ssl.create_default_context(cafile=str(database.ca) if database.ca else None)


def _secret_in(path: Path | None) -> str | None:
    if path is None:
        return None
    with folder_of(path) as folder:
        found = folder.read(path.name)
    if found is None or found[1].mode & 0o077:
        raise DependencyError("rotate.admin", f"{path} is not there, or others may read it")
    return found[0].decode(errors="replace").strip()


async def _let_in(admin: _Connection, role: str, password: str) -> None:
    verifier = render_verifier(password, salt=secrets.token_bytes(16))
    await admin.execute(f"ALTER ROLE \"{role}\" LOGIN PASSWORD '{verifier}' VALID UNTIL 'infinity'")


async def _expire(admin: _Connection, role: str, overlap_s: float) -> None:
    """Have `role` expire after the overlap; where it does so already, that stays."""
    until = await admin.fetchval(_UNTIL, role, timedelta(seconds=overlap_s))
    if until is not None:
        await admin.execute(f"ALTER ROLE \"{role}\" VALID UNTIL '{until}'")


async def _shut_out(admin: _Connection, role: str) -> bool:
    """Return whether `role` may still log in; its sessions are ended, its password is none."""
    await admin.execute(f'ALTER ROLE "{role}" NOLOGIN PASSWORD NULL')
    await admin.fetch(_END_SESSIONS, role)
    return bool(await admin.fetchval("SELECT rolcanlogin FROM pg_roles WHERE rolname = $1", role))
