"""`meshwarden up` and `demo` as a user without any privilege, with a home of its own.

As root the test becomes `nobody`; as anyone else it is that user already.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from tests.e2e.small_mesh import write_mesh

from meshwarden.adapters.yaml import load_document
from meshwarden.control.layout import layout_of
from meshwarden.control.mesh import parse_mesh

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]
NOBODY = 65534
SOURCE = Path(__file__).parents[2] / "src"
WITHIN_S = 120


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    # Not below pytest's own folder: that is closed to others. One for all: what is compiled at the
    # first start is kept in the user's home.
    with tempfile.TemporaryDirectory(prefix="mw-") as folder:
        path = Path(folder)
        if os.geteuid() == 0:
            os.chown(path, NOBODY, NOBODY)
            for program in (sys.executable, SOURCE):
                if not may_use(Path(program)):
                    pytest.skip(f"{program} is closed to other users")
        yield path


def may_use(path: Path) -> bool:
    done = subprocess.run([*become(), "test", "-x", str(path)], check=False)
    return done.returncode == 0


def become() -> list[str]:
    if os.geteuid() != 0:
        return []
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        pytest.skip("no setpriv (util-linux) on this machine")
    return [
        setpriv, f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--no-new-privs",
        "--inh-caps=-all", "--bounding-set=-all",
    ]  # fmt: skip


def started(home: Path, *arguments: str) -> subprocess.Popen[str]:
    """Start `meshwarden <arguments>` as that user."""
    entry = "from meshwarden.cli import main; main()"
    return subprocess.Popen(
        [*become(), sys.executable, "-P", "-c", entry, *arguments],
        env={"HOME": str(home), "PATH": os.defpath, "TMPDIR": str(home), "LANG": "C.UTF-8"},
        cwd=home,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def owners(directory: Path) -> set[int]:
    return {path.lstat().st_uid for path in directory.rglob("*")}


def test_a_mesh_runs_and_says_in_one_line_what_is_not_protected(home: Path) -> None:
    mesh_file = write_mesh(home)
    process = started(home, "up", str(mesh_file), "--state", str(home / "s"), "--json")
    assert process.stdout
    assert process.stderr
    try:
        line = process.stdout.readline()
        assert line, process.stderr.read()
        summary = json.loads(line)
        assert summary["isolated"] is False
        [front] = [one for one in summary["services"] if one["name"] == "front"]
        mesh = parse_mesh(load_document(mesh_file), home)
        proxy = f"http://{layout_of(mesh, home / 's').proxy('front')}"
        with httpx.Client(proxy=proxy, trust_env=False, timeout=60) as client:
            assert client.get("http://back/v1/ping").status_code == 200
            assert client.delete("http://back/v1/ping").status_code == 403
        assert Path(f"/proc/{front['pid']}").stat().st_uid == (os.geteuid() or NOBODY)
        assert owners(home / "s") == {os.geteuid() or NOBODY}
    finally:
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=WITHIN_S)
    assert process.returncode == 0, said
    notes = [line for line in said.splitlines() if "not isolated" in line]
    assert len(notes) == 1
    assert not list((home / "s/run").glob("*"))


@pytest.mark.alone
def test_the_demo_refuses_every_attempt(home: Path) -> None:
    process = started(home, "demo", "--seconds", "5", "--history", "0", "--json")
    said, errors = process.communicate(timeout=WITHIN_S)
    outcome = json.loads(said or "{}")
    assert process.returncode == 0, errors
    assert outcome["isolated"] is False
    assert outcome["mtls_share"] == 1.0
    assert outcome["ledger_balanced"] is True
    assert outcome["attempts"]
    assert all(attempt["refused"] for attempt in outcome["attempts"])
    assert outcome["revocation_ms"] > 0
    assert list(home.glob("mw-*")) == list(home.glob("meshwarden*")) == []
