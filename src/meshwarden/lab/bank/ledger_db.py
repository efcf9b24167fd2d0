"""Starts PostgreSQL for the ledger: on a Unix socket only, with a password, as this very process.

1. Find the newest installed server under /usr/lib/postgresql.
2. On the first start make the cluster beside its final place, and rename it there when complete.
3. Let MESHWARDEN_SOCKET point to PostgreSQL's own socket, and become the server (exec), so that
   signals reach it. SIGTERM waits for its clients to leave, SIGINT does not.

The password of the role `ledger` comes from BANK_DATABASE_PASSWORD or, from a file of mode 0600, by
BANK_DATABASE_PASSWORD_FILE. PostgreSQL refuses to run as root: give the service a `user:`.
"""

import os
import re
import secrets
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final, NoReturn

PORT: Final = 5432
_INSTALLED: Final = Path("/usr/lib/postgresql")
_PASSWORD: Final = re.compile(r"[A-Za-z0-9_-]{16,128}")
_MAX_SOCKET_PATH: Final = 107  # sockaddr_un
_SETTINGS: Final = {
    "listen_addresses": "",
    "port": str(PORT),
    "unix_socket_permissions": "0777",  # the folder decides who gets here, the password who gets in
    "max_connections": "24",
    "shared_buffers": "16MB",
    "password_encryption": "scram-sha-256",
    "log_min_messages": "warning",
    "autovacuum_max_workers": "1",
    "max_worker_processes": "2",
    "max_logical_replication_workers": "0",
    "wal_level": "minimal",
    "max_wal_senders": "0",
}


def find_binaries(installed: Path = _INSTALLED) -> Path | None:
    """Return the folder of the newest server's binaries; None where there is none."""
    found = [p.parent for p in installed.glob("*/bin/postgres") if (p.parent / "initdb").exists()]
    return max(found, key=lambda folder: float(folder.parent.name), default=None)


def main() -> NoReturn:
    """Become the database server; exit with one line where that cannot be."""
    environment = os.environ  # noqa: TID251  # the service's entry point
    if os.geteuid() == 0:
        _refuse("PostgreSQL does not run as root; set `user:` (for example postgres) in mesh.yaml")
    binaries = find_binaries()
    if binaries is None:
        _refuse(
            f"no PostgreSQL server under {_INSTALLED}; apt-get install postgresql, or use SQLite"
        )
    socket = Path(environment.get("MESHWARDEN_SOCKET") or _refuse("MESHWARDEN_SOCKET is not set"))
    password = _password(environment.get("BANK_DATABASE_PASSWORD"), environment)
    place = socket.parent
    server_socket = place / f".s.PGSQL.{PORT}"
    if len(os.fsencode(server_socket)) > _MAX_SOCKET_PATH:
        _refuse(f"{server_socket} is too long for a socket; use a shorter state directory")
    _make_cluster(binaries, place / "data", password)
    socket.unlink(missing_ok=True)
    socket.symlink_to(server_socket.name)
    settings = _SETTINGS | {"unix_socket_directories": str(place)}
    arguments = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    kept = {name: value for name, value in environment.items() if not name.startswith("BANK_")}
    postgres = str(binaries / "postgres")
    os.execve(postgres, [postgres, "-D", str(place / "data"), *arguments], kept)  # noqa: S606  # no shell is wanted


def _password(given: str | None, environment: os._Environ[str]) -> str:
    file = environment.get("BANK_DATABASE_PASSWORD_FILE")
    if given is None and file is not None:
        try:
            if Path(file).stat().st_mode & 0o077:
                _refuse(f"others may read {file}; chmod 0600 it")
            given = Path(file).read_text(encoding="ascii").strip()
        except (OSError, UnicodeError):
            _refuse(f"cannot read {file}")
    if given is None or not _PASSWORD.fullmatch(given):
        _refuse("BANK_DATABASE_PASSWORD (or ..._FILE) must hold 16 to 128 of A-Z a-z 0-9 _ -")
    return given


def _make_cluster(binaries: Path, data: Path, password: str) -> None:
    """Make the cluster with the role and the database `ledger` once; set the password each time."""
    if not data.exists():
        unfinished = data.with_name("data.unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        secret = data.with_name("superuser")
        secret.touch(mode=0o600)
        secret.write_text(secrets.token_urlsafe(32), encoding="ascii")  # nobody needs it again
        _run(
            str(binaries / "initdb"), "-D", str(unfinished), "-U", "postgres", f"--pwfile={secret}",
            "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync",
        )  # fmt: skip
        secret.unlink()
        create = "CREATE ROLE ledger LOGIN;\nCREATE DATABASE ledger OWNER ledger;\n"
        _single_user(binaries, unfinished, create)
        unfinished.rename(data)
    _single_user(binaries, data, f"ALTER ROLE ledger PASSWORD '{password}';\n")


def _single_user(binaries: Path, data: Path, statements: str) -> None:
    """Run statements before anybody can connect, unseen by process lists and logs."""
    settings = ("password_encryption=scram-sha-256", "log_min_error_statement=panic")
    options = [part for value in settings for part in ("-c", value)]
    _run(
        str(binaries / "postgres"), "--single", "-D", str(data), *options, "postgres",
        stdin=statements,
    )  # fmt: skip


def _run(*command: str, stdin: str = "") -> None:
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)
    if done.returncode or "ERROR" in done.stderr:
        _refuse(f"{Path(command[0]).name} failed: {done.stderr.strip()[-300:]}")


def _refuse(message: str) -> NoReturn:
    sys.exit(f"ledger-db: {message}")


if __name__ == "__main__":
    main()
