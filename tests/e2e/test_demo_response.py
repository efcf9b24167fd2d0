"""`meshwarden demo --attack ...` with a response: contained, proved, replaced, recovered; or a page."""

import contextlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from meshwarden.adapters.forensics import verify_archive
from meshwarden.adapters.network import why_unavailable

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.alone,
    pytest.mark.timeout(600),
    pytest.mark.skipif(why_unavailable() is not None, reason="networks of their own need root"),
]
MESHWARDEN = [str(Path(sys.executable).with_name("meshwarden")), "demo", "--json"]
SECONDS = {"exfiltration": "12", "framing": "16"}
HISTORY = "3d"
WITHIN_S = 540


@dataclass(frozen=True, kw_only=True)
class Performance:
    """A demonstration that is under way, on a state directory of its own."""

    process: "subprocess.Popen[str]"

    def ended(self) -> tuple[int, dict[str, Any]]:
        """Return its exit code and what it printed."""
        out, said = self.process.communicate(timeout=WITHIN_S)
        assert self.process.returncode in {0, 1}, said[-3000:]
        found: dict[str, Any] = json.loads(out)
        return self.process.returncode, found


@contextlib.contextmanager
def performing(attack: str) -> Iterator[Performance]:
    with tempfile.TemporaryDirectory(prefix="mw-") as state:
        options = [
            "--attack",
            attack,
            "--history",
            HISTORY,
            "--seconds",
            SECONDS[attack],
            "--state",
            state,
        ]
        with subprocess.Popen(
            [*MESHWARDEN, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            try:
                yield Performance(process=process)
            finally:
                process.terminate()


@pytest.fixture
def performance(request: pytest.FixtureRequest) -> Iterator[Performance]:
    """One at a time: two banks on two cores would refuse customers whom no attack touches."""
    with performing(request.param) as found:
        yield found


@pytest.mark.parametrize("performance", ["exfiltration"], indirect=True)
def test_exfiltration_is_answered_by_the_whole_chain(performance: Performance) -> None:
    code, found = performance.ended()
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


@pytest.mark.parametrize("performance", ["framing"], indirect=True)
def test_framing_ends_in_a_page_and_not_in_an_outage(performance: Performance) -> None:
    code, found = performance.ended()
    assert found["forged_handshakes"] > 0
    assert "ledger" not in found["contained_services"]
    assert found["pages"] > 0
    assert found["attack_succeeded"] is False, found
    assert code == 0, found
