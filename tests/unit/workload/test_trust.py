"""Keys and sequence numbers of our own bundle, over restarts, rotations and full disks."""

import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from meshwarden.adapters.chance import SystemChance
from meshwarden.adapters.storage import jwt_keys
from meshwarden.control.workload import trust as trust_module
from meshwarden.control.workload.trust import Trust
from meshwarden.identity import Bundle, create_root
from meshwarden.identity.model import TrustBundle
from meshwarden.kernel import DependencyError, StateError

DOMAIN = "bank.example"


class Clock:
    time = datetime(2026, 11, 3, 12, tzinfo=UTC)

    def now(self) -> datetime:
        return self.time


class World:
    def __init__(self, folder: Path) -> None:
        self.clock = Clock()
        self.path = folder / "jwt-keys.json"
        self.roots = self.new_root()
        self.federated: dict[str, Bundle] = {}

    def new_root(self) -> TrustBundle:
        root = create_root(DOMAIN, now=self.clock.now(), serial=SystemChance().serial())
        return TrustBundle(trust_domain=DOMAIN, certificates=(root.certificate,))

    def open(self) -> Trust:
        return Trust(
            clock=self.clock,
            path=self.path,
            roots=lambda: self.roots,
            federated=lambda: self.federated,
        )


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_a_restart_changes_nothing(world: World) -> None:
    first = world.open().own
    again = world.open().own
    assert (first.sequence, list(first.jwt_keys)) == (again.sequence, list(again.jwt_keys))
    assert stat.S_IMODE(world.path.stat().st_mode) == 0o600


def test_each_change_raises_the_sequence_number_by_one(world: World) -> None:
    trust = world.open()
    assert not trust.update()
    world.roots = world.new_root()
    assert trust.update()
    assert trust.own.sequence == 2
    assert trust.update(rotate=True)
    assert (trust.own.sequence, len(trust.own.jwt_keys)) == (3, 2)
    assert world.open().own.sequence == 3


def test_keys_rotate_in_time_without_a_gap(world: World) -> None:
    trust = world.open()
    seen = set(trust.own.jwt_keys)
    for _ in range(72):
        world.clock.time += timedelta(hours=1)
        trust.update()
        assert seen & set(trust.own.jwt_keys)
        seen = set(trust.own.jwt_keys)
        assert 1 <= len(seen) <= 3


def test_a_full_disk_leaves_what_is_shown_and_signs(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    trust = world.open()
    before = (trust.own.sequence, [one.kid for one in trust.jwt_keys()])
    world.clock.time += timedelta(hours=23, minutes=45)

    def _full(_path: Path, _kept: object) -> None:
        raise DependencyError("jwt_keys.storage", "no space")

    monkeypatch.setattr(trust_module, "store_jwt_keys", _full)
    assert not trust.update()
    assert (trust.own.sequence, [one.kid for one in trust.jwt_keys()]) == before
    assert world.open().own.sequence == before[0]
    monkeypatch.undo()
    assert trust.update()
    assert len(trust.own.jwt_keys) == 2


def test_another_bundle_never_takes_the_place_of_our_own(world: World) -> None:
    trust = world.open()
    world.federated = {
        DOMAIN: Bundle(trust_domain=DOMAIN),
        "b.example": Bundle(trust_domain="b.example"),
    }
    assert list(trust.bundles()) == [DOMAIN, "b.example"]
    assert trust.bundles()[DOMAIN] is trust.own


@pytest.mark.parametrize("mode", [0o640, 0o604])
def test_keys_that_others_could_read_are_refused(world: World, mode: int) -> None:
    world.open()
    world.path.chmod(mode)
    with pytest.raises(StateError) as refused:
        world.open()
    assert refused.value.code == "jwt_keys.readable"


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"keys":[{"pem":"x","signs_from":"now"}]}'])
def test_damaged_keys_are_refused(world: World, text: str) -> None:
    world.open()
    world.path.write_text(text)
    with pytest.raises(StateError) as refused:
        jwt_keys.load_jwt_keys(world.path)
    assert refused.value.code == "jwt_keys.damaged"
