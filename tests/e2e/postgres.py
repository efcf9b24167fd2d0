"""A PostgreSQL server of the test's own, on a Unix socket, with a role that may rotate two others."""

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from meshwarden.lab.bank.ledger_db import find_binaries

WITHIN_S = 60
ADMIN_PASSWORD = "rotator-of-the-tests-only"
SETUP = f"""
CREATE ROLE owner NOLOGIN;
CREATE TABLE entries (id int PRIMARY KEY);
GRANT SELECT, INSERT ON entries TO owner;
CREATE ROLE app_a LOGIN PASSWORD 'first-password' IN ROLE owner;
CREATE ROLE app_b NOLOGIN IN ROLE owner;
CREATE ROLE rotator LOGIN CREATEROLE PASSWORD '{ADMIN_PASSWORD}';
GRANT app_a, app_b TO rotator WITH ADMIN OPTION;
GRANT pg_signal_backend TO rotator;
"""


def _account() -> str | None:
    """Return whom the server runs as where we are root, as which it refuses to."""
    return "postgres" if os.geteuid() == 0 else None


def _is_missing() -> bool:
    try:
        pwd.getpwnam("postgres")
    except KeyError:
        return os.geteuid() == 0
    return find_binaries() is None


POSTGRES_MISSING = _is_missing()
NEEDS_POSTGRES = pytest.mark.skipif(POSTGRES_MISSING, reason="no PostgreSQL on this machine")


@dataclass(frozen=True, kw_only=True)
class Postgres:
    """A running server: the directory of its socket, and its log."""

    host: Path
    log: Path

    def sql(self, text: str) -> str:
        """Return what `psql` prints, as the superuser."""
        binaries = find_binaries()
        assert binaries
        done = subprocess.run(
            [binaries / "psql", "-h", self.host, "-U", "postgres", "-At", "-v", "ON_ERROR_STOP=1"],
            input=text, capture_output=True, text=True, timeout=WITHIN_S, check=True,
            user=_account(),
        )  # fmt: skip
        return done.stdout.strip()


@contextlib.contextmanager
def running_postgres() -> Iterator[Postgres]:
    """Run a server while the context lasts; every statement goes to its log."""
    binaries = find_binaries()
    assert binaries
    with tempfile.TemporaryDirectory(prefix="mw-pg-") as folder:
        base = Path(folder)
        if account := _account():
            shutil.chown(base, account)
        base.chmod(0o755)
        data = base / "data"
        subprocess.run(
            [binaries / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "--no-sync"],
            user=_account(), check=True, timeout=WITHIN_S, capture_output=True,
        )  # fmt: skip
        (data / "pg_hba.conf").write_text("local all postgres trust\nlocal all all scram-sha-256\n")
        settings = ["-c", "listen_addresses=", "-c", f"unix_socket_directories={base}",
                    "-c", "log_statement=all", "-c", "fsync=off"]  # fmt: skip
        log = base / "server.log"
        with log.open("wb") as said:
            server = subprocess.Popen(
                [binaries / "postgres", "-D", data, *settings], user=_account(), stderr=said,
                stdout=said,
            )  # fmt: skip
        try:
            _await(binaries, base, server)
            found = Postgres(host=base, log=log)
            found.sql(SETUP)
            yield found
        finally:
            server.send_signal(signal.SIGINT)
            server.wait(WITHIN_S)


def _await(binaries: Path, host: Path, server: subprocess.Popen[bytes]) -> None:
    command = [str(binaries / "pg_isready"), "-h", str(host), "-q"]
    while subprocess.run(command, check=False, timeout=WITHIN_S).returncode:
        assert server.poll() is None, "the server ended"
