"""What is learned before the demonstration ends where it begins, and is named as the record is."""

from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from meshwarden.behaviour import Model
from meshwarden.kernel import CALL_SCHEMA
from meshwarden.lab.attacks.drift import RELEASES, declared, released_days
from meshwarden.lab.attacks.simulate import World
from meshwarden.lab.customers import CustomerModel
from meshwarden.lab.history import learn_history, quiet_days

UNTIL = datetime(2026, 3, 2, 10, tzinfo=UTC)
MODEL = CustomerModel(seed=1, customers=40)


def test_quiet_days_end_where_the_demonstration_begins() -> None:
    calls = quiet_days(MODEL, until=UNTIL, days=2, seed=1, postgres=True)
    assert calls.schema == CALL_SCHEMA
    times = calls["time"].cast(pa.int64()).to_numpy() / 1e9
    assert UNTIL.timestamp() - 2 * 86_400 <= times.min()
    assert times.max() < UNTIL.timestamp()


def test_customers_have_the_address_that_the_record_gives_them() -> None:
    calls = quiet_days(MODEL, until=UNTIL, days=1, seed=1, postgres=True)
    outside = {name for name in pc.unique(calls["source"].cast(pa.string())).to_pylist()
               if not name.startswith("spiffe://")}  # fmt: skip
    assert outside == {"external:127.0.0.1"}


def test_what_was_learned_is_kept_for_the_watch(tmp_path: Path) -> None:
    path = tmp_path / "behaviour" / "model"
    history = learn_history(path, MODEL, until=UNTIL, days=1, seed=1, postgres=False)
    assert Model.load(path.read_bytes()).describe()["calls"] == history.calls > 100


def test_no_history_leaves_nothing_to_know(tmp_path: Path) -> None:
    path = tmp_path / "model"
    path.write_bytes(b"of an earlier run")
    assert learn_history(path, MODEL, until=UNTIL, days=0, seed=1, postgres=False).calls == 0
    assert not path.exists()


def test_releases_make_calls_that_only_the_declared_policy_allows() -> None:
    quiet, released, policy = released_days(3, World(customers=40, history_days=1))
    known = edges(quiet)
    new = edges(released) - known
    assert len(new) == RELEASES
    assert declared(policy) != policy
    before, after = (
        set(pc.unique(calls["release"].cast(pa.string())).to_pylist())
        for calls in (quiet, released)
    )
    assert len(after - before) == RELEASES
    assert all(name.endswith("-first") for name in before)


def edges(calls: pa.Table) -> set[tuple[str, str, str]]:
    rows = calls.select(["source", "destination", "route"]).group_by(
        ["source", "destination", "route"]
    )
    return {
        (row["source"], row["destination"], row["route"]) for row in rows.aggregate([]).to_pylist()
    }
