"""A service in quarantine, without sockets: what its peers are told, and what is given to it."""

from datetime import timedelta
from pathlib import Path

import pytest
from tests.unit.plane.bench import DOMAIN, Bench

from meshwarden.adapters.storage.register import FileRegister
from meshwarden.control.fabric import compile_filters
from meshwarden.control.plane import ControlPlane
from meshwarden.identity.register import TOKENS_KEPT
from meshwarden.kernel import DependencyError, InputError, SpiffeId


@pytest.fixture
def plane(tmp_path: Path) -> ControlPlane:
    found = Bench(tmp_path).plane()
    found.publisher.certify()
    return found


async def test_its_peers_refuse_identity_and_certificates(plane: ControlPlane) -> None:
    held = plane.certificates.current("front").sha256
    await plane.quarantine.put("front")
    contained = plane.identities.containment()
    assert contained.certificates == {held: f"{DOMAIN}/front"}
    assert contained.withheld == {"front"}
    narrowed = compile_filters(plane.published.policy, "back", isolated={"front"})
    assert plane.publisher._filters("back") == narrowed != plane.published.filters["back"]


async def test_it_is_given_nothing_new(plane: ControlPlane) -> None:
    await plane.quarantine.put("front")
    assert plane._is_withheld("front")
    assert not plane._is_withheld("back")


async def test_callers_of_one_that_is_being_replaced_wait(plane: ControlPlane) -> None:
    assert await plane.quarantine.put("back", awaited=True) == []  # nobody is connected
    assert plane.identities.containment().withheld == frozenset()
    assert plane.publisher.awaited() == {"back"}
    await plane.quarantine.lift("back")
    assert plane.publisher.awaited() == {"back"}
    assert set(await plane.quarantine.arrived("back")) >= {"back", "front"}  # awaited in vain
    assert plane.publisher.awaited() == frozenset()


async def test_lifting_leaves_nothing_behind(plane: ControlPlane) -> None:
    await plane.quarantine.put("front")
    await plane.quarantine.lift("front")
    assert plane.identities.containment().certificates == {}
    assert plane.publisher._filters("back") == plane.published.filters["back"]


async def test_what_is_revoked_meanwhile_stays_refused(plane: ControlPlane) -> None:
    held = plane.certificates.current("front").sha256
    await plane.quarantine.put("front")
    await plane.revoker.revoke(f"{DOMAIN}/front", replace=False)
    await plane.revoker.reissue("front")
    await plane.quarantine.lift("front")
    contained = plane.identities.containment()
    assert set(contained.certificates) == {held}
    assert contained.withheld == frozenset()


async def test_a_policy_change_does_not_let_it_back_in(plane: ControlPlane) -> None:
    await plane.quarantine.put("front")
    path = plane.mesh.policy_path
    path.write_text(path.read_text().replace("[GET]", "[GET, POST]"))
    assert await plane.reload_policy() is None
    narrowed = compile_filters(plane.published.policy, "back", isolated={"front"})
    assert plane.publisher._filters("back") == narrowed


async def test_the_policy_in_quarantine_is_no_drift(plane: ControlPlane) -> None:
    wanted = plane.enforcement.isolated
    assert wanted() == frozenset()
    await plane.quarantine.put("front")
    assert wanted() == {"front"}


async def test_a_restart_begins_with_it(plane: ControlPlane) -> None:
    plane.quarantine.begin(frozenset({"front", "no-such-service"}))
    assert plane.quarantine.services() == {"front"}


async def test_who_is_no_service_is_refused(plane: ControlPlane) -> None:
    with pytest.raises(InputError, match="no service"):
        await plane.quarantine.put("stranger")


FRONT = SpiffeId("test.example", "/front")


async def test_none_of_its_tokens_counts_until_it_is_let_back_in(plane: ControlPlane) -> None:
    assert plane.tokens_end(FRONT) is None
    await plane.quarantine.put("front")
    end = plane.tokens_end(FRONT)
    assert end is not None
    assert end > plane.clock.now() + timedelta(days=1)
    assert plane.tokens_end(SpiffeId("test.example", "/back")) is None
    with pytest.raises(DependencyError, match="just ended"):
        plane.workload.issuing.jwt_svid(FRONT, ["ledger"])
    await plane.quarantine.lift("front")
    assert plane.tokens_end(FRONT) is None


async def test_tokens_from_before_a_revocation_never_count_again(plane: ControlPlane) -> None:
    now = plane.clock.now()
    await plane.revoker.revoke(str(FRONT), replace=False)
    assert plane.tokens_end(FRONT) == now
    kept = FileRegister(plane.layout.identity_register).load()
    assert kept.tokens_ended[str(FRONT)].time == now
    assert not kept.forget(now=now + TOKENS_KEPT)
    assert kept.forget(now=now + TOKENS_KEPT + timedelta(seconds=1))
    assert kept.tokens_ended == {}


async def test_revoking_one_certificate_leaves_the_tokens_of_its_namesakes(
    plane: ControlPlane,
) -> None:
    await plane.revoker.revoke(plane.certificates.current("front").sha256)
    assert plane.tokens_end(FRONT) is None
