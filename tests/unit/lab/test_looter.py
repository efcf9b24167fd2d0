"""The thief reads what another process holds, for real: from its memory."""

import base64
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from meshwarden.lab.attacks.looter import processes_of, search, tokens_in

# It builds the tokens while it runs, so that they are in its memory and nowhere else.
HOLDER = """\
import base64, json, sys, time
def part(what):
    return base64.urlsafe_b64encode(json.dumps(what).encode()).rstrip(b"=").decode()
def token(scope, lives_s, typ="txntoken+jwt"):
    head = {"alg": "ES256", "typ": typ, "kid": "k" * 20}
    claims = {"sub": "someone", "txn": "t" * 32, "scope": scope, "exp": int(time.time()) + lives_s}
    return f"{part(head)}.{part(claims)}.{'s' * 86}"
held = [token("ledger:post a", 30), token("gone", 2), token("other", 600, typ="at+jwt")]
copies = [text + "\\r\\n" for text in held]
print("ready", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[int]:
    (tmp_path / "mw_holder.py").write_text(HOLDER)
    command = [sys.executable, "-m", "mw_holder"]
    with subprocess.Popen(
        command, cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.readline() == b"ready\n"
        yield process.pid
        process.stdin.close()


def test_live_tokens_of_the_wanted_scope_are_found_and_no_others(holder: int) -> None:
    assert holder in set(processes_of("mw_holder"))
    found = search("mw_holder", ["ledger:post", "a ledger:post", "a b", "gone", "other"])
    assert set(found) == {"ledger:post", "a ledger:post"}
    raw = found["ledger:post"].split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(raw + "=="))
    assert claims["scope"] == "ledger:post a"
    assert claims["exp"] > time.time()


def test_a_token_that_ended_is_seen_but_not_taken(holder: int) -> None:
    assert len(set(tokens_in(holder))) == 2  # another kind of token is passed over


def test_a_process_that_is_gone_yields_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(tokens_in(2**22 + 1)) == []
    assert "cannot be read" in capsys.readouterr().out
