"""What the database's launcher refuses, each with one line that says what to do."""

import os
from pathlib import Path

import pytest

from meshwarden.lab.bank import ledger_db

GOOD = "a-password-for-tests-only"


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(ledger_db, "find_binaries", lambda: tmp_path)
    monkeypatch.setenv("MESHWARDEN_SOCKET", str(tmp_path / "app.sock"))
    monkeypatch.delenv("BANK_DATABASE_PASSWORD", raising=False)
    return monkeypatch


def test_root_is_told_to_set_a_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    with pytest.raises(SystemExit, match="set `user:`"):
        ledger_db.main()


@pytest.mark.parametrize("password", ["", "short", "quote'; DROP TABLE entries; --"])
def test_password_that_is_missing_or_unfit_is_refused(
    environment: pytest.MonkeyPatch, password: str
) -> None:
    environment.setenv("BANK_DATABASE_PASSWORD", password)
    with pytest.raises(SystemExit, match="must hold 16 to 128"):
        ledger_db.main()


def test_password_file_that_others_may_read_is_refused(
    environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "password"
    file.write_text(GOOD)
    file.chmod(0o644)
    environment.setenv("BANK_DATABASE_PASSWORD_FILE", str(file))
    with pytest.raises(SystemExit, match="chmod 0600"):
        ledger_db.main()


def test_path_too_long_for_a_socket_is_refused(
    environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    environment.setenv("BANK_DATABASE_PASSWORD", GOOD)
    environment.setenv("MESHWARDEN_SOCKET", str(tmp_path / ("d" * 100) / "app.sock"))
    with pytest.raises(SystemExit, match="too long for a socket"):
        ledger_db.main()


def test_newest_server_is_found(tmp_path: Path) -> None:
    for version in ("9.6", "15", "13"):
        (tmp_path / version / "bin").mkdir(parents=True)
        for name in ("postgres", "initdb"):
            (tmp_path / version / "bin" / name).touch()
    assert ledger_db.find_binaries(tmp_path) == tmp_path / "15" / "bin"
    assert ledger_db.find_binaries(tmp_path / "nowhere") is None
