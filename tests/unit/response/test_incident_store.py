from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.unit.response.world import SECOND, Response

from meshwarden.adapters.storage.database import open_database
from meshwarden.adapters.storage.incidents import IncidentStore
from meshwarden.kernel import DependencyError, StateError
from meshwarden.response import Playbook, verify_record


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state.db"


@pytest.fixture
def store(path: Path) -> IncidentStore:
    return IncidentStore(open_database(path))


def test_what_was_appended_is_there_for_the_next_process(
    store: IncidentStore, path: Path, full: Playbook
) -> None:
    response = Response()
    response.follow(full)
    response.run()
    for entry in response.record:
        store.append_entry("i1", entry)
    again = IncidentStore(open_database(path))
    assert again.load_record("i1") == response.record
    assert verify_record(again.load_record("i1")) == len(response.record)
    assert again.load_incident("i1") == response.incident
    assert again.incident_ids() == ["i1"]


def test_of_two_who_append_the_same_number_one_is_told_to_look_again(store: IncidentStore) -> None:
    first = Response().record[0]
    store.append_entry("i1", first)
    with pytest.raises(StateError) as refused:
        store.append_entry("i1", first)
    assert refused.value.code == "incident.taken"
    store.append_entry("i2", first)


def test_an_unknown_incident_is_an_error(store: IncidentStore) -> None:
    with pytest.raises(StateError) as refused:
        store.load_incident("i9")
    assert refused.value.code == "incident.empty"


def test_one_holder_at_a_time_until_its_lease_is_over(store: IncidentStore) -> None:
    assert store.take_lease("a", now=0, ttl_s=10)
    assert not store.take_lease("b", now=9 * SECOND, ttl_s=10)
    assert store.take_lease("a", now=9 * SECOND, ttl_s=10)
    assert not store.take_lease("b", now=10 * SECOND, ttl_s=10)
    assert store.take_lease("b", now=19 * SECOND, ttl_s=10)
    store.give_lease("a")
    assert not store.take_lease("a", now=20 * SECOND, ttl_s=10)
    store.give_lease("b")
    assert store.take_lease("a", now=20 * SECOND, ttl_s=10)


def test_of_many_who_ask_at_once_one_gets_the_lease(path: Path) -> None:
    def asked(number: int) -> bool:
        store = IncidentStore(open_database(path))
        return store.take_lease(f"c{number}", now=0, ttl_s=10)

    open_database(path)
    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(asked, range(8))) == 1


def test_a_database_that_cannot_be_opened_says_so(tmp_path: Path) -> None:
    with pytest.raises(DependencyError) as refused:
        open_database(tmp_path / "missing" / "state.db")
    assert refused.value.code == "database.open"


def test_only_its_user_can_open_it(store: IncidentStore, path: Path) -> None:
    store.take_lease("a", now=0, ttl_s=1)
    assert path.stat().st_mode & 0o077 == 0
