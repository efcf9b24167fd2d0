"""What a process is handed when clock, disk or authority fail: what it has, or nothing; never more."""

from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

import pytest
from tests.unit.plane.bench import START, FakeChance, FakeClock, new_authority

from meshwarden.adapters.storage.register import FileRegister
from meshwarden.control.workload import issuance
from meshwarden.control.workload.issuance import Issued, WorkloadIssuing
from meshwarden.identity import (
    Authority,
    Kind,
    ProcessFacts,
    Record,
    Registration,
    Selectors,
    Svid,
    create_key,
)
from meshwarden.kernel import DependencyError, MeshwardenError, SpiffeId

IDENTITY = SpiffeId("test.example", "/batch")
FACTS = ProcessFacts(pid=7, start_ticks=70, uid=1000, gid=1000)
OTHER = ProcessFacts(pid=8, start_ticks=80, uid=1000, gid=1000)


@dataclass
class World:
    clock: FakeClock = field(default_factory=FakeClock)
    chance: FakeChance = field(default_factory=FakeChance)
    authority: Authority = field(init=False)
    issued: list[Issued] = field(default_factory=list)
    register: FileRegister | None = None
    revoked: set[str] = field(default_factory=set)
    withheld: set[str] = field(default_factory=set)
    issuing: WorkloadIssuing = field(init=False)

    def __post_init__(self) -> None:
        self.authority = new_authority(self.clock, self.chance)
        keys = (create_key(START),)
        known = [Registration(identity=IDENTITY, selectors=Selectors(uid=1000))]
        self.issuing = WorkloadIssuing(
            clock=self.clock,
            chance=self.chance,
            authority=lambda: self.authority,
            jwt_keys=lambda: keys,
            known=lambda: known,
            trusted=dict,
            issued=self.record,
            revoked=self.revoked.__contains__,
            withheld=self.withheld.__contains__,
            lifetime_s=3600,
        )

    def record(self, issued: Issued) -> None:
        if self.register is not None:
            record = Record(time=self.clock.now(), kind=Kind.ISSUED, sha256=issued.svid.sha256)
            self.register.append([record])
        self.issued.append(issued)

    def ask(self, facts: ProcessFacts = FACTS) -> Svid:
        return self.issuing.x509_svid(facts, IDENTITY)


def test_a_clock_that_jumps_ahead_renews_at_the_next_look_and_for_who_asks() -> None:
    world = World()
    first = world.ask()
    world.clock.advance(hours=3)
    assert world.issuing.renew_due() == {FACTS.instance}
    assert world.ask().not_after == world.clock.now() + timedelta(hours=1)
    assert world.ask() != first


def test_a_clock_that_is_set_back_replaces_what_would_be_valid_only_later() -> None:
    world = World()
    world.issuing.renew_due()
    first = world.ask()
    world.clock.advance(hours=-2)
    second = world.ask()
    assert second != first
    assert second.not_before <= world.clock.now() < second.not_after
    assert world.issuing.renew_due() == {FACTS.instance}


def test_a_clock_outside_the_authoritys_life_issues_nothing_and_it_recovers_with_it() -> None:
    world = World()
    for days in (-3000, 30_000):
        world.clock.advance(days=days)
        with pytest.raises(MeshwardenError, match="valid from"):
            world.ask()
        world.clock.time = START
    assert world.ask()
    assert len(world.issued) == 1


def test_on_a_full_disk_a_process_keeps_what_it_has_and_a_new_one_gets_nothing(
    tmp_path: Path,
) -> None:
    world = World()
    held = world.ask()
    world.register = FileRegister(Path("/dev/full"))
    with pytest.raises(DependencyError, match="cannot keep the register"):
        world.ask(OTHER)
    world.clock.advance(minutes=31)
    assert world.issuing.renew_due() == set()
    assert world.ask() == held
    world.clock.advance(minutes=1)  # overdue by now
    assert world.ask() == held
    world.register = FileRegister(tmp_path / "register")
    world.clock.advance(seconds=6)
    assert world.issuing.renew_due() == {FACTS.instance}
    assert world.ask() != held
    assert world.ask(OTHER).sha256 in (tmp_path / "register").read_text()


def test_a_revoked_svid_is_not_handed_out_again() -> None:
    world = World()
    stolen, namesake = world.ask(), world.ask(OTHER)
    world.revoked.add(stolen.sha256)
    assert world.ask().sha256 not in {stolen.sha256, namesake.sha256}
    assert world.ask(OTHER) == namesake


def test_a_process_that_is_cut_off_meets_no_registration_and_another_does() -> None:
    world = World()
    world.withheld.add(FACTS.holder)
    assert world.issuing.registrations(FACTS) == ()
    assert [one.identity for one in world.issuing.registrations(OTHER)] == [IDENTITY]
    successor = ProcessFacts(pid=7, start_ticks=71, uid=1000, gid=1000)  # of the same number
    assert world.issuing.registrations(successor)


def test_of_too_many_processes_those_that_are_away_are_forgotten_and_nobody_connected(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(issuance, "MAX_INSTANCES", 2)
    world, connected = World(), {FACTS.instance}
    world.issuing.connected = connected.__contains__
    there, away = world.ask(FACTS), world.ask(OTHER)
    world.ask(replace(FACTS, pid=9))
    assert world.ask(FACTS) is there
    assert world.ask(OTHER) is not away
