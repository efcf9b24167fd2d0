"""All secrets of a suspect are replaced, whatever one of them does."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import pytest
from tests.unit.response.hands import MovableClock

from meshwarden.adapters.rotation import FileRotation
from meshwarden.control.response.actions.rotate_secrets import RotateSecrets
from meshwarden.control.response.actions.scene import Scene
from meshwarden.control.response.rotating import rotations_of
from meshwarden.control.rotation_settings import CommandSecret, FileSecret, PostgresSecret
from meshwarden.kernel import ConfigError, DependencyError, StateError, VerificationError
from meshwarden.response import Incident, Rotation


class _Suspect:
    service = "payments"


class _Incident:
    id = "i1"
    suspect = _Suspect()


class _Scene:
    @staticmethod
    def why_unknown(_: Incident) -> None:
        return None


INCIDENT = cast("Incident", _Incident())


@dataclass
class Fake:
    """A secret that keeps what was asked of it."""

    name: str = "one"
    why: str | None = None
    fails: bool = False
    stays_good: bool = False
    asked: list[str] = field(default_factory=list)

    async def check(self) -> str | None:
        return self.why

    async def rotate(self, key: str) -> None:
        self.asked.append(f"rotate {key}")
        if self.fails:
            raise DependencyError("rotate.failed", f"{self.name} fails")

    async def settle(self, key: str) -> str:
        self.asked.append(f"settle {key}")
        if self.stays_good:
            raise VerificationError("rotate.old", f"{self.name} is still good")
        return f"{self.name} is gone"


def action(*rotations: Rotation) -> RotateSecrets:
    return RotateSecrets(scene=cast("Scene", _Scene()), rotations={"payments": rotations})


async def test_each_is_replaced_and_then_settled_under_the_incident_s_name() -> None:
    one, two = Fake("one"), Fake("two")
    assert (await action(one, two).apply(INCIDENT)).outcome == "replaced: one, two"
    assert await action(one, two).probe(INCIDENT) == "one is gone; two is gone"
    assert one.asked == two.asked == ["rotate i1", "settle i1"]


async def test_one_that_fails_does_not_keep_the_others_from_being_replaced(tmp_path: Path) -> None:
    place = tmp_path / "secret"
    place.write_text("old")
    file = FileRotation(path=place, clock=MovableClock(), overlap_s=0)
    with pytest.raises(DependencyError, match="bad fails"):
        await action(Fake("bad", fails=True), file).apply(INCIDENT)
    assert place.read_text() != "old"


async def test_an_old_one_that_stays_good_fails_the_proof() -> None:
    with pytest.raises(DependencyError, match="two is still good"):
        await action(Fake("one"), Fake("two", stays_good=True)).probe(INCIDENT)


async def test_it_cannot_work_only_where_none_can_be_replaced() -> None:
    assert await action(Fake(why="no file"), Fake()).check(INCIDENT) is None
    said = await action(Fake(why="no file"), Fake(why="no database")).check(INCIDENT)
    assert said == "no file; no database"


async def test_a_service_without_secrets_has_nothing_replaced() -> None:
    assert "names no secret" in (await action().apply(INCIDENT)).outcome
    assert await action().probe(INCIDENT) == "there was nothing to replace"
    assert await action().check(INCIDENT) is None


async def test_an_old_secret_does_not_come_back() -> None:
    with pytest.raises(StateError):
        await action().undo(INCIDENT, {})


def test_settings_become_what_replaces_them() -> None:
    postgres = PostgresSecret(
        host="/run/postgresql", port=5432, database="bank", admin="rotator", admin_password=None,
        ca=None, roles=("a", "b"), credentials=Path("/c"),
    )  # fmt: skip
    wanted = (CommandSecret(argv=("/bin/true",)), FileSecret(path=Path("/f")), postgres)
    found = rotations_of({"payments": wanted}, MovableClock())["payments"]
    assert [one.name for one in found] == ["true", "/f", "bank of a and b"]
    spoilt = PostgresSecret(
        host="/run", port=5432, database="bank", admin="rotator", admin_password=None,
        ca=None, roles=("a", 'b"'), credentials=Path("/c"),
    )  # fmt: skip
    with pytest.raises(ConfigError):
        rotations_of({"payments": (spoilt,)}, MovableClock())
