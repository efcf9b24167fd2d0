import json
import stat
import sys
from pathlib import Path

import pytest

from meshwarden.adapters.storage.registrations import change_registrations, load_registrations
from meshwarden.cli import run
from meshwarden.identity import Registration, Selectors, Session
from meshwarden.kernel import InputError, SpiffeId

ONE = Registration(
    identity=SpiffeId.parse("spiffe://bank.example/one"),
    selectors=Selectors(
        uid=1, gid=2, cgroup="/a", network_namespace=3, executable="/opt/x", sha256="a" * 64,
        session=Session(leader=4, start_ticks=5),
    ),
    hint="first",
)  # fmt: skip


def test_what_is_written_is_read_back_by_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    assert load_registrations(path) == ()
    change_registrations(path, lambda known: (*known, ONE))
    assert load_registrations(path) == (ONE,)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"version": 2, "registrations": []}',
        '{"version": 1, "registrations": [{}]}',
        '{"version": 1, "registrations": [{"identity": "x", "selectors": {"uid": 1}}]}',
        '{"version": 1, "registrations": [{"identity": "spiffe://a.b/c", "selectors": {}}]}',
        '{"version": 1, "registrations": [{"identity": "spiffe://a.b/c", "selectors": {"uid": true}}]}',
        '{"version": 1, "registrations": [{"identity": "spiffe://a.b/c", "selectors": {"uid": "0"}}]}',
        '{"version": 1, "registrations": [{"identity": "spiffe://a.b/c", "selectors": {"pid": 1}}]}',
    ],
)
def test_a_file_that_breaks_the_format_is_refused_whole_and_left_alone(
    tmp_path: Path, text: str
) -> None:
    path = tmp_path / "r.json"
    path.write_text(text)
    with pytest.raises(InputError):
        change_registrations(path, lambda known: (*known, ONE))
    assert path.read_text() == text


def test_commands_register_list_and_take_back(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state, identity = ["--state", str(tmp_path), "--json"], "spiffe://bank.example/batch"
    assert run(["identity", "register", identity, "--uid", "7", *state]) == 0
    assert run(["identity", "register", identity, "--uid", "7", *state]) == 2
    capsys.readouterr()
    assert run(["identity", "registrations", *state]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found == {"registrations": [{"identity": identity, "selectors": {"uid": 7}}]}
    assert run(["identity", "unregister", identity, *state]) == 0
    assert run(["identity", "unregister", identity, *state]) == 2


@pytest.mark.parametrize(
    "selectors",
    [[], ["--sha256", "a" * 64], ["--executable", "/nowhere"], ["--executable", "PYTHON"]],
)
def test_what_proves_nothing_is_not_registered(tmp_path: Path, selectors: list[str]) -> None:

    given = [sys.executable if one == "PYTHON" else one for one in selectors]
    state = ["--state", str(tmp_path)]
    assert run(["identity", "register", "spiffe://bank.example/x", *given, *state]) == 2
    assert not (tmp_path / "registrations.json").exists()


def test_a_script_is_not_registered_by_its_path(tmp_path: Path) -> None:
    script = tmp_path / "tool"
    script.write_text("#!/bin/sh\n")
    command = ["identity", "register", "spiffe://bank.example/x", "--executable", str(script)]
    assert run([*command, "--uid", "1", "--state", str(tmp_path)]) == 2
