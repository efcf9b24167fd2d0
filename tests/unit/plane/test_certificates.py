"""SVIDs are renewed in time, whatever the clock does, and never under a wrong identity."""

from datetime import timedelta

import pytest
from tests.unit.plane.bench import DOMAIN, START, FakeChance, FakeClock, new_authority

from meshwarden.control.plane.certificates import Certificates
from meshwarden.kernel import MeshwardenError, SpiffeId

FRONT, BACK = (SpiffeId.parse(f"{DOMAIN}/{name}") for name in ("front", "back"))


class Held:
    """Certificates of front and back, issued at `START` for an hour."""

    def __init__(self, uniform: float = 0.5) -> None:
        self.clock, chance = FakeClock(), FakeChance(uniform)
        self.failures: list[MeshwardenError] = []
        self.certificates = Certificates(
            authority=new_authority(self.clock, chance),
            clock=self.clock,
            chance=chance,
            lifetime_s=3600,
            failed=self.failures.append,
        )
        self.certificates.keep({"front": FRONT, "back": BACK})

    @property
    def prints(self) -> list[str]:
        return [self.certificates.current(name).sha256 for name in ("front", "back")]


@pytest.mark.parametrize(("uniform", "minutes"), [(0.0, 24), (0.5, 30), (0.9999999, 36)])
def test_an_svid_is_renewed_at_half_life_give_or_take_a_tenth(
    uniform: float, minutes: float
) -> None:
    held = Held(uniform)
    assert held.certificates.renews_in_s("front") == pytest.approx(minutes * 60, abs=1)
    held.clock.advance(minutes=minutes, seconds=-2)
    assert held.certificates.renew_due() == []
    held.clock.advance(seconds=4)
    before = held.prints
    assert held.certificates.renew_due() == ["front", "back"]
    assert set(before).isdisjoint(held.prints)
    assert held.certificates.current("front").not_after - held.clock.now() > timedelta(minutes=59)
    assert held.certificates.renew_due() == []


def test_a_clock_that_jumps_beyond_the_end_of_life_renews_at_once() -> None:
    held = Held()
    held.clock.advance(days=9)
    assert held.certificates.renew_due() == ["front", "back"]
    assert held.certificates.current("front").not_after > held.clock.now()


def test_a_clock_that_is_set_back_replaces_what_is_valid_only_later() -> None:
    held = Held()
    held.clock.advance(days=9)
    held.certificates.renew_due()
    held.clock.time = START + timedelta(minutes=1)
    assert held.certificates.renew_due() == ["front", "back"]
    svid = held.certificates.current("front")
    assert svid.not_before <= held.clock.now() < svid.not_after <= START + timedelta(minutes=61)


@pytest.mark.parametrize("jump", [{"days": 400}, {"days": -30}], ids=["forward", "back"])
def test_an_authority_that_cannot_issue_is_told_once_and_recovers(jump: dict[str, float]) -> None:
    held = Held()
    before = held.prints
    held.clock.advance(**jump)
    for _ in range(3):
        assert held.certificates.renew_due() == []
    assert [error.code for error in held.failures] == ["identity.authority_not_valid"]
    assert held.prints == before
    held.clock.time = START + timedelta(minutes=40)
    assert held.certificates.renew_due() == ["front", "back"]
    held.clock.advance(**jump)
    held.certificates.renew_due()
    assert len(held.failures) == 2


def test_another_identity_is_issued_at_once_and_the_others_keep_theirs() -> None:
    held = Held()
    front, back = held.prints
    held.certificates.keep({"front": FRONT, "back": SpiffeId.parse(f"{DOMAIN}/ns/new/back")})
    assert held.prints[0] == front
    assert held.prints[1] != back
    assert str(held.certificates.current("back").identity) == f"{DOMAIN}/ns/new/back"


def test_identities_of_which_one_is_refused_change_nothing() -> None:
    held = Held()
    before = held.prints
    new = SpiffeId.parse(f"{DOMAIN}/ns/new/front")
    foreign = SpiffeId.parse("spiffe://other.example/back")
    with pytest.raises(MeshwardenError, match=r"issues nothing for spiffe://other\.example/back"):
        held.certificates.keep({"front": new, "back": foreign})
    assert held.prints == before
    held.clock.advance(minutes=31)
    held.certificates.renew_due()
    assert held.certificates.current("front").identity == FRONT
