"""`meshwarden demo`, as a user runs it: the outcome, the record, and nothing left behind."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pytest
from tests.e2e.agreement_support import agrees
from tests.e2e.small_mesh import rows_of

from meshwarden.adapters.network import why_unavailable
from meshwarden.adapters.storage.calls import load_calls
from meshwarden.lab.agreement import compare
from meshwarden.lab.customers import CustomerModel
from meshwarden.lab.demo import SPEED, START
from meshwarden.lab.stage import CUSTOMERS
from meshwarden.lab.synthesize import synthesize

pytestmark = [pytest.mark.e2e, pytest.mark.alone, pytest.mark.timeout(300)]
SECONDS = 10
ISOLATED = why_unavailable() is None
COMMAND = str(Path(sys.executable).with_name("meshwarden"))
MESHWARDEN = [COMMAND, "demo"]
MUST_FAIL = {
    "wrong caller": "default-deny",
    "wrong method": "default-deny",
    "wrong path": "default-deny",
    "path through dot segments": "default-deny",
    "no transaction token": "default-deny",
    "no certificate": "tls:no-certificate",
    "foreign authority that names the ledger": "tls:foreign-authority",
    "expired SVID": "tls:expired",
    "plaintext": "tls:plaintext",
    "unlisted outside host": "egress:not-listed",
    "the service's own port around the sidecar": "egress:not-listed" if ISOLATED else "no port",
}


@dataclass(frozen=True, kw_only=True)
class Performance:
    """What one run printed, left in its state directory, and which processes it had started."""

    exit_code: int
    outcome: dict[str, object]
    errors: str
    calls: pa.Table
    state: Path
    left: list[str]


@pytest.fixture(scope="module")
def performance() -> Iterator[Performance]:
    # Not below pytest's own folder: PostgreSQL runs as another user, who cannot pass that.
    with tempfile.TemporaryDirectory(prefix="mw-") as folder:
        yield perform(Path(folder))


def perform(state: Path) -> Performance:
    run = subprocess.run(
        [*MESHWARDEN, "--seconds", str(SECONDS), "--json", "--state", str(state)],
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert run.stdout, run.stderr
    return Performance(
        exit_code=run.returncode,
        outcome=json.loads(run.stdout),
        errors=run.stderr,
        calls=load_calls([state / "calls"]).table,
        state=state,
        left=list(processes_that_mention(str(state))),
    )


def processes_that_mention(text: str) -> Iterator[str]:
    """Yield the command lines of live processes that hold `text`, this one's left out."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            environment = (folder / "environ").read_bytes().decode(errors="replace")
        except OSError:  # ended meanwhile
            continue
        if (text in command or text in environment) and folder.name != str(os.getpid()):
            yield command


def test_everything_that_must_fail_was_refused_by_what_should_refuse_it(
    performance: Performance,
) -> None:
    attempts = performance.outcome["attempts"]
    assert isinstance(attempts, list)
    assert {attempt["name"]: attempt["by"] for attempt in attempts} == MUST_FAIL
    assert all(attempt["refused"] for attempt in attempts)
    assert performance.exit_code == 0, performance.errors


def test_every_allowed_call_in_the_mesh_was_under_mutual_tls(performance: Performance) -> None:
    assert performance.outcome["mtls_share"] == 1.0
    assert performance.outcome["services"] in {9, 10}  # with a database or without
    assert performance.outcome["isolated"] is ISOLATED
    assert performance.outcome["calls"] == performance.calls.num_rows > 500


def test_the_ledger_balances_and_no_customer_was_failed(performance: Performance) -> None:
    assert performance.outcome["ledger_balanced"] is True
    customers = performance.outcome["customers"]
    assert isinstance(customers, dict)
    assert customers["failed"] == 0
    assert customers["ok"] > 100


def test_a_stolen_session_and_a_new_device_are_asked_for_more(performance: Performance) -> None:
    shown = performance.outcome["step_up"]
    assert isinstance(shown, dict)
    took = shown.pop("revoked_ms")
    inner = {"inside": "mfa", "inside_proven": 201}
    assert shown == {"known": 201, "stolen": 401, "challenge": "mfa", "proven": 201} | inner
    assert 0 < took < 1000


def test_a_transfer_goes_hop_by_hop_under_its_token(performance: Performance) -> None:
    chain = performance.outcome["chain"]
    assert isinstance(chain, list)
    assert chain[:2] == [
        "customer -> gateway POST /v1/transfers", "gateway -> payments POST /v1/transfers",
    ]  # fmt: skip
    assert "payments -> token-service POST /token" in chain
    booked = {
        "payments -> ledger POST /v1/transfers",
        "payments -> ledger POST /v1/large-transfers",
    }
    assert booked & set(chain)


def test_a_thief_is_cut_off_within_a_second_and_payments_goes_on(performance: Performance) -> None:
    took = performance.outcome["revocation_ms"]
    assert isinstance(took, float)
    assert 0 < took < 1000
    theft = performance.outcome["revocation"]
    assert isinstance(theft, dict)
    assert theft["before"] not in {None, 403}  # accounts itself had answered
    accounts = "spiffe://bank.example/ns/core/sa/accounts"
    cut = rows_of(performance.calls, destination=accounts, rule="containment:certificate")
    assert {call["denied"] for call in cut} == {True}
    [*_, last] = sorted(int(str(call["time"])) for call in cut)
    ledger = "spiffe://bank.example/ns/core/sa/ledger"
    served = rows_of(performance.calls, destination=ledger, method="POST", denied=False)
    assert any(int(str(call["time"])) > last and call["status"] != 422 for call in served)


def test_a_forged_certificate_that_names_the_ledger_is_never_taken_for_the_ledger(
    performance: Performance,
) -> None:
    ledger = "spiffe://bank.example/ns/core/sa/ledger"
    [forged] = rows_of(performance.calls, claimed=ledger)
    assert forged["source"] == "unknown"
    assert forged["mtls"] is False
    as_source = rows_of(performance.calls, source=ledger)
    assert {call["destination"] for call in as_source} <= {f"{ledger}-db"}


def test_the_model_and_the_real_run_agree_in_distribution(performance: Performance) -> None:
    model = CustomerModel(seed=1, customers=CUSTOMERS)
    timeline = model.timeline(start=START, span_s=SECONDS * SPEED)
    postgres = performance.outcome["services"] == 10
    written = synthesize(timeline, start=START, seed=1, speed=SPEED, postgres=postgres)
    agreement = compare(performance.calls, written)
    customers = performance.outcome["customers"]
    assert isinstance(customers, dict)
    assert agrees(agreement, late_s=customers["late_s"]), agreement.render()


def test_from_its_record_a_policy_is_learned_and_a_branch_that_breaks_it_is_caught(
    performance: Performance, tmp_path: Path
) -> None:
    calls = str(performance.state / "calls")

    def run(*arguments: str) -> tuple[int, str]:
        command = [COMMAND, *arguments]
        done = subprocess.run(
            command, cwd=tmp_path, capture_output=True, text=True, timeout=240, check=False
        )
        return done.returncode, done.stdout

    assert run("policy", "learn", calls, "-o", "access.yaml")[0] == 0
    learned = (tmp_path / "access.yaml").read_text()
    assert "from: [payments, scoring]" in learned
    broken = learned.replace("from: [payments, scoring]", "from: [payments]", 1)
    (tmp_path / "branch.yaml").write_text(broken)
    options = ["--against", "access.yaml", "--calls", calls, "--format", "markdown"]
    assert run("gate", "access.yaml", *options)[0] == 0
    code, comment = run("gate", "branch.yaml", *options)
    assert code == 1
    assert "would be refused: scoring -&#62; aml POST /v1/screenings" in comment
    assert "add 'scoring' to aml.accepts&#91;0&#93;.from" in comment


def test_nothing_runs_any_more_and_only_the_record_is_left(performance: Performance) -> None:
    assert performance.left == []
    assert not (performance.state / "run").exists()


def test_interrupted_it_stops_everything_and_removes_its_directory() -> None:
    with tempfile.TemporaryDirectory(prefix="mw-") as folder:
        interrupt_below(Path(folder))


def interrupt_below(folder: Path) -> None:
    environment = {**os.environ, "TMPDIR": str(folder)}
    process = subprocess.Popen(
        [*MESHWARDEN, "--seconds", "60", "--history", "0"],
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr
    with process.stderr as lines:
        assert any(line.startswith("up:") for line in lines)
        process.send_signal(signal.SIGINT)
        rest = lines.read()
    assert process.wait(timeout=90) == 130, rest
    assert list(processes_that_mention(str(folder))) == []
    assert list(folder.iterdir()) == []


def test_a_length_out_of_range_is_refused_in_one_line() -> None:
    run = subprocess.run(
        [*MESHWARDEN, "--seconds", "1"], capture_output=True, text=True, check=False
    )
    assert run.returncode == 2
    assert run.stderr == "meshwarden: --seconds is 1 (from 5 to 3600)\n"
