"""The way of a policy, as its engineer walks it: learn, tighten, break a rule, diff, replay, patch.

On recorded calls of the sample bank; the verdicts are confirmed by a real Envoy.
"""

import dataclasses
import json
import re
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from meshwarden.adapters.yaml import load_document
from meshwarden.control.traffic import read_traffic
from meshwarden.control.traffic.confirm import confirm_replay
from meshwarden.lab.customers import CustomerModel
from meshwarden.lab.mesh import ACCESS_POLICY
from meshwarden.lab.synthesize import synthesize
from meshwarden.policy import parse_policy
from meshwarden.policy.traffic import replay

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]
MESHWARDEN = str(Path(sys.executable).with_name("meshwarden"))
START = datetime(2026, 3, 2, 9, tzinfo=UTC)
SPEED = 60.0  # an hour of the bank's day in one minute


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with `calls.parquet`: one minute of the bank's traffic."""
    folder = tmp_path_factory.mktemp("workflow")
    timeline = CustomerModel(seed=5, customers=2_000).timeline(start=START, span_s=3600)
    calls = synthesize(timeline, start=START, seed=6, speed=SPEED, postgres=True)
    pq.write_table(calls, folder / "calls.parquet")
    return folder


def policy(folder: Path, *arguments: str, expect: int) -> str:
    """Run one subcommand of `policy` in `folder`; return what it printed."""
    return meshwarden(folder, "policy", *arguments, expect=expect)


def meshwarden(folder: Path, *arguments: str, expect: int) -> str:
    """Run a command in `folder`; return what it printed."""
    done = subprocess.run(
        [MESHWARDEN, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == expect, done.stderr
    return done.stdout


def test_learn_tighten_break_diff_replay_and_repair(folder: Path) -> None:
    calls = ["--calls", "calls.parquet"]
    # 1. Learned from the calls, it allows all of them, and no more than the bank's own policy.
    policy(folder, "learn", "calls.parquet", "-o", "access.yaml", expect=0)
    policy(folder, "check", "access.yaml", expect=0)
    confirmed = policy(
        folder, "replay", "access.yaml", *calls, "--confirm", "30", "--json", expect=0
    )
    outcome = json.loads(confirmed)
    assert outcome["verdicts"].keys() == {"allowed", "not judged"}
    assert outcome["confirmed"] == {"agreed": outcome["confirmed"]["agreed"], "differing": []}
    assert outcome["confirmed"]["agreed"] >= 20
    # Which scopes a token must have is nothing that calls show: that part is a person's.
    bank = re.sub(r"^ *token: .*\n", "", ACCESS_POLICY.read_text(), flags=re.MULTILINE)
    (folder / "bank.yaml").write_text(bank)
    own = json.loads(policy(folder, "diff", "bank.yaml", "access.yaml", "--json", expect=1))
    assert [change["kind"] for change in own["gained"]] == ["egress"]  # its port is not recorded

    # 2. Made wide by hand, it is found to be, and the tighter rule is the learned one.
    learned = (folder / "access.yaml").read_text()
    narrow = "- from: [scoring]\n        methods: [POST]\n        paths: [/v1/disbursements]"
    wide = "- from: [scoring, aml]\n        methods: [POST, PUT]\n        paths: [/v1/**]"
    assert narrow in learned
    (folder / "wide.yaml").write_text(learned.replace(narrow, wide))
    found = json.loads(policy(folder, "unused", "wide.yaml", *calls, "--json", expect=1))
    [loose] = found["rules"]
    assert loose["proposal"] == "- from: [scoring]\n  methods: [POST]\n  paths: [/v1/disbursements]"

    # 3. A branch breaks one rule and widens another: the pull request shows both, and the fix.
    screenings = "\n        methods: [POST]\n        paths: [/v1/screenings]"
    both = f"from: [payments, scoring]{screenings}"
    assert both in learned
    broken = learned.replace(narrow, wide).replace(both, f"from: [payments]{screenings}")
    (folder / "branch.yaml").write_text(broken)
    shown = policy(folder, "diff", "access.yaml", "branch.yaml", "--markdown", expect=1)
    assert "| `aml` | `payments` | `POST, PUT /v1/**` |" in shown
    assert "| `scoring` | `aml` | `POST /v1/screenings` |" in shown
    replayed = ["replay", "branch.yaml", *calls, "--policy", "access.yaml", "--confirm", "20"]
    refused = policy(folder, *replayed, "--markdown", expect=1)
    assert "| `scoring` | `aml` | `POST /v1/screenings` |" in refused
    assert "`add 'scoring' to aml.accepts[0].from`" in refused
    assert "confirmed by Envoy: 20 of 20" in refused
    gate = ["gate", "branch.yaml", "--against", "access.yaml", *calls, "--format", "markdown"]
    comment = meshwarden(folder, *gate, expect=1)
    assert "newly allowed: aml -&#62; payments: POST, PUT /v1/&#42;&#42;;" in comment
    assert re.search(
        r"\| high \| `branch.yaml:\d+` \| \d+ recorded calls \(\d\.\d\d%\) would be refused:"
        r" scoring -&#62; aml POST /v1/screenings, from \S+ to \S+ ",
        comment,
    )
    assert "| add 'scoring' to aml.accepts&#91;0&#93;.from |" in comment

    # 4. The patch of one denial repairs the branch.
    asked = ["--from", "scoring", "--to", "aml", "--method", "POST", "--path", "/v1/screenings"]
    patch = policy(folder, "explain", "branch.yaml", *asked, "--patch", expect=1)
    git = shutil.which("git")
    assert git is not None
    subprocess.run([git, "apply", "-p1", "-"], cwd=folder, input=patch, text=True, check=True)
    policy(folder, "replay", "branch.yaml", *calls, expect=0)
    repaired = meshwarden(folder, *gate, expect=0)
    assert "would be refused" not in repaired
    assert "newly allowed: aml -&#62; payments" in repaired


def test_a_verdict_that_envoy_does_not_share_is_reported(folder: Path) -> None:
    """Judged by one policy, tried with another: what a wrong evaluator would look like."""
    observed = read_traffic([folder / "calls.parquet"]).traffic.observed()
    bank = parse_policy(load_document(ACCESS_POLICY))
    ledger = dataclasses.replace(bank.services["ledger"], accepts=())
    shut = dataclasses.replace(bank, services={**bank.services, "ledger": ledger})
    outcome = dataclasses.replace(replay(observed, bank), candidate=shut)
    agreed, differing = confirm_replay(outcome, 40)
    assert agreed > 0
    assert differing
    assert all("ledger" in line and line.endswith(": refused") for line in differing)
