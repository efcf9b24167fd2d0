"""`meshwarden demo --attack ...` with a response: contained, proved, replaced, recovered; or a page."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from meshwarden.adapters.forensics import verify_archive
from meshwarden.adapters.network import why_unavailable

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(600),
    pytest.mark.skipif(why_unavailable() is not None, reason="networks of their own need root"),
]
MESHWARDEN = [str(Path(sys.executable).with_name("meshwarden")), "demo", "--json"]
SECONDS = "30"


def performed(attack: str, state: Path) -> tuple[int, dict[str, Any]]:
    done = subprocess.run(
        [*MESHWARDEN, "--attack", attack, "--seconds", SECONDS, "--state", str(state)],
        capture_output=True,
        text=True,
        timeout=540,
        check=False,
    )
    assert done.returncode in {0, 1}, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(done.stdout)
    return done.returncode, found


def test_exfiltration_is_answered_by_the_whole_chain() -> None:
    with tempfile.TemporaryDirectory(prefix="mw-") as folder:
        code, found = performed("exfiltration", Path(folder))
        times = [found[name] for name in ("contained", "verified", "replaced", "recovered")]
        assert None not in times, found["response"]
        assert times == sorted(times)
        assert found["first_malicious_call"] <= found["found"] <= found["contained"]
        assert found["response"]["octets_after_contained"] == 0
        assert found["response"]["customers_during"]["requests"] > 0
        assert found["ledger_balanced"]
        manifest = verify_archive(Path(found["evidence"]))
        assert manifest.suspect == "spiffe://bank.example/ns/core/sa/payments"
        assert code == 0, found["response"]


def test_framing_ends_in_a_page_and_not_in_an_outage() -> None:
    with tempfile.TemporaryDirectory(prefix="mw-") as folder:
        code, found = performed("framing", Path(folder))
        assert found["forged_handshakes"] > 0
        assert "ledger" not in found["contained_services"]
        assert found["pages"] > 0
        assert found["attack_succeeded"] is None, found
        assert code == 0, found
