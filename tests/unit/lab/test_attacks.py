from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from meshwarden.adapters.yaml import load_document
from meshwarden.kernel import CALL_SCHEMA, ConfigError
from meshwarden.lab.agreement import hop_keys
from meshwarden.lab.attacks import ATTACKS
from meshwarden.lab.attacks.credentials import MISUSES, simulated_misuse
from meshwarden.lab.attacks.exfiltration import SLOW_BYTES
from meshwarden.lab.attacks.forgotten import render_policy
from meshwarden.lab.attacks.model import Forgotten
from meshwarden.lab.attacks.simulate import (
    START,
    World,
    attack_calls,
    merged,
    simulated_attack,
    simulated_calls,
    simulated_foothold,
)
from meshwarden.lab.bank.service import MAX_BODY_BYTES
from meshwarden.lab.callgraph import CARD_NETWORK
from meshwarden.lab.mesh import ACCESS_POLICY
from meshwarden.policy import parse_policy

WORLD = World(customers=50, history_days=1)
BEGIN = datetime(2026, 3, 2, 12, tzinfo=UTC)
EVERY = pytest.mark.parametrize("name", ATTACKS)


def hostile(name: str, seed: int = 1) -> pa.Table:
    return attack_calls(ATTACKS[name], np.random.default_rng(seed), BEGIN)


@EVERY
def test_a_plan_gives_its_steps_in_their_order_within_its_time(name: str) -> None:
    attack = ATTACKS[name]
    foothold = simulated_foothold(parse_policy(load_document(ACCESS_POLICY)), attack)
    times = [step.at_s for step in attack.plan(foothold, np.random.default_rng(1), 10.0)]
    assert times == sorted(times)
    assert 0 <= times[0] <= times[-1] <= 10
    assert len(times) >= 8


@EVERY
def test_calls_of_an_attack_come_from_the_compromised_service_alone(name: str) -> None:
    calls = hostile(name)
    assert calls.schema == CALL_SCHEMA
    [source] = pc.unique(calls["source"].cast(pa.string())).to_pylist()
    assert source.endswith(f"/sa/{ATTACKS[name].service}")
    assert calls.equals(hostile(name))
    assert not calls.equals(hostile(name, seed=2))


@pytest.mark.parametrize(("name", "refused"), [
    ("scan", True), ("lateral", True), ("exfiltration", False), ("slow-exfiltration", False),
    ("beacon", False), ("flood", False),
])  # fmt: skip
def test_policy_decides_which_steps_are_refused(name: str, refused: bool) -> None:
    calls = hostile(name)
    assert pc.unique(calls["denied"]).to_pylist() == [refused]
    rules = set(calls["rule"].cast(pa.string()).to_pylist())
    assert bool(rules & {"default-deny", "egress:not-listed"}) is refused


def test_a_stolen_token_is_refused_where_a_rule_binds_it_and_nowhere_else() -> None:
    calls = hostile("token-replay")
    by_route = {
        row["route"]: (row["denied"], row["rule"])
        for row in calls.select(["route", "denied", "rule"]).to_pylist()
    }
    assert by_route == {
        "/v1/transfers": (True, "default-deny"),
        "/v1/customers/{}/accounts": (False, "accounts.accepts[0]"),
    }


def test_a_grant_that_the_policy_has_no_rule_for_is_refused() -> None:
    grant = Forgotten(service="ledger", method="DELETE", path="/v1/transfers")
    with pytest.raises(ConfigError, match="no rule of ledger opens"):
        render_policy(replace(ATTACKS["token-replay"], grants=(grant,)))


def test_a_refusal_has_the_form_that_the_recorder_gives_it() -> None:
    rows = hostile("lateral").drop(["time", "duration"]).to_pylist()
    by_rule = {row["rule"]: row for row in rows}
    assert by_rule["default-deny"]["reporter"] == "destination"
    assert by_rule["default-deny"]["mtls"] is True
    assert by_rule["egress:not-listed"]["reporter"] == "source"
    assert by_rule["egress:not-listed"]["mtls"] is None


@EVERY
def test_labels_mark_the_rows_of_the_attack_and_no_other(name: str) -> None:
    calls, labels = simulated_attack(name, 3, WORLD)
    times = calls["time"].cast(pa.int64()).to_numpy()
    assert np.all(np.diff(times) >= 0)
    assert calls.num_rows == len(labels)
    quiet = simulated_calls(3, WORLD)
    assert np.array_equal(hop_keys(calls.filter(pa.array(~labels))), hop_keys(quiet))
    attack_day = (START + timedelta(days=WORLD.history_days)).timestamp() * 1e9
    assert times[labels].min() > attack_day
    assert labels.sum() >= 8


def test_slow_exfiltration_takes_the_form_of_the_calls_that_it_hides_in() -> None:
    calls = hostile("slow-exfiltration")
    assert set(hop_keys(calls)) == {f"payments {CARD_NETWORK} POST /v1/authorizations 201"}
    assert pc.min(calls["request_bytes"]).as_py() > 0.5 * SLOW_BYTES
    assert pc.max(calls["request_bytes"]).as_py() < MAX_BODY_BYTES


@pytest.mark.parametrize("name", MISUSES)
def test_a_misused_credential_was_used_before_by_whom_it_belongs_to(name: str) -> None:
    calls, labels = simulated_misuse(name, 4, WORLD)
    column = "session" if name == "stolen-session" else "transaction"
    [stolen] = pc.unique(calls.filter(pa.array(labels))[column]).to_pylist()
    owners = calls.filter(pc.and_(pa.array(~labels), pc.equal(calls[column], stolen)))
    assert owners.num_rows > 0
    of = "source_instance" if name == "stolen-session" else "source"
    others = pc.unique(owners[of].cast(pa.string())).to_pylist()
    thief = calls.filter(pa.array(labels))[of].cast(pa.string())[0].as_py()
    assert thief not in others


def test_sessions_are_written_only_where_asked_for() -> None:
    quiet = simulated_calls(1, WORLD)
    assert quiet["session"].null_count == quiet.num_rows
    bound = simulated_calls(1, WORLD, sessions=True)
    assert 0 < bound["session"].null_count < 0.15 * bound.num_rows  # keys, database connections
    assert bound.drop(["session", "transaction", "source_instance"]).equals(
        quiet.drop(["session", "transaction", "source_instance"])
    )


def test_merging_nothing_hostile_leaves_no_label() -> None:
    quiet = simulated_calls(1, WORLD)
    calls, labels = merged(quiet, CALL_SCHEMA.empty_table())
    assert calls.num_rows == quiet.num_rows
    assert not labels.any()
