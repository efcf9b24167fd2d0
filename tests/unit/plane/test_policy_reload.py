"""The policy in force is the last good one, and the newest of these, whatever happens to the file."""

import asyncio
import hashlib
import threading
from pathlib import Path

import pytest
from tests.unit.plane.bench import DOMAIN, POLICY, Bench

from meshwarden.behaviour import Model
from meshwarden.control.plane import ControlPlane, publishing
from meshwarden.control.plane.published import Published, load_published, store_accepted
from meshwarden.control.watching import Watch
from meshwarden.control.watching.declared import DeclaredPolicy
from meshwarden.kernel import InputError

BROKEN = POLICY + "colour: red\n"


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


async def started(bench: Bench) -> ControlPlane:
    """Return a control plane that holds what it holds when it runs."""
    plane = bench.plane()
    async with plane.running():
        pass
    return plane


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def test_a_broken_file_at_the_first_start_is_refused(bench: Bench) -> None:
    bench.policy_file.write_text(BROKEN)
    with pytest.raises(InputError, match=r"access\.yaml:10: unknown key 'colour'"):
        bench.plane()


async def test_a_broken_file_at_a_later_start_gives_way_to_the_last_accepted(bench: Bench) -> None:
    await started(bench)
    bench.policy_file.write_text(BROKEN)
    plane = bench.plane()
    assert plane.published.digest == digest(POLICY)
    assert "colour" in str(plane.rejected)


async def test_a_broken_change_keeps_the_last_good_one_and_raises_one_finding(
    bench: Bench,
) -> None:
    plane = await started(bench)
    bench.policy_file.write_text(BROKEN)
    for _ in range(3):
        assert "unknown key 'colour'" in (await plane.reload_policy() or "")
    assert plane.published.digest == digest(POLICY)
    assert "colour" in (plane.status().policy_error or "")
    assert bench.findings.codes == ["policy.refused"]
    bench.policy_file.write_text(POLICY)
    assert await plane.reload_policy() is None
    assert plane.status().policy_error is None


async def test_a_file_that_vanishes_keeps_the_last_good_one(bench: Bench) -> None:
    plane = await started(bench)
    bench.policy_file.unlink()
    assert "cannot read" in (await plane.reload_policy() or "")
    assert plane.published.digest == digest(POLICY)


async def test_a_policy_of_another_trust_domain_changes_nothing(bench: Bench) -> None:
    plane = await started(bench)
    before = plane.certificates.current("back")
    bench.policy_file.write_text(POLICY.replace("test.example", "other.example"))
    assert "issues nothing for" in (await plane.reload_policy() or "")
    assert plane.certificates.current("back") is before
    assert plane.published.policy.trust_domain == "test.example"


async def test_another_identity_is_issued_with_the_policy_that_gives_it(bench: Bench) -> None:
    plane = await started(bench)
    front = plane.certificates.current("front")
    bench.policy_file.write_text(POLICY.replace(f"{DOMAIN}/back", f"{DOMAIN}/ns/new/back"))
    assert await plane.reload_policy() is None
    assert str(plane.certificates.current("back").identity) == f"{DOMAIN}/ns/new/back"
    assert plane.certificates.current("front") is front
    assert plane.published.sidecars["front"].callees[0].identity.path == "/ns/new/back"


async def test_the_watch_goes_by_the_policy_in_force(bench: Bench) -> None:
    plane = await started(bench)
    declared = DeclaredPolicy(plane.first.policy)
    plane.watch = Watch(
        open_model=Model, tell=print, keep=lambda _: None, clock=bench.clock, declared=declared
    )
    edge = (f"{DOMAIN}/front", f"{DOMAIN}/back", "GET", "/v1/newer")
    assert declared.allows(*edge) is False
    bench.policy_file.write_text(BROKEN.replace("/v1/ping", "/v1/newer"))
    assert await plane.reload_policy()
    assert declared.allows(*edge) is False
    bench.policy_file.write_text(POLICY.replace("/v1/ping", "/v1/newer"))
    assert await plane.reload_policy() is None
    assert declared.allows(*edge)


async def test_an_older_change_that_takes_longer_never_replaces_a_newer_one(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    plane = await started(bench)
    overtaken = threading.Event()
    newer = POLICY.replace("/v1/ping", "/v1/newer")
    loads: list[int] = []

    def _load(*arguments: object) -> Published:
        published = load_published(*arguments)  # type: ignore[arg-type]
        loads.append(1)
        if len(loads) == 1:
            bench.policy_file.write_text(newer)
            overtaken.wait(timeout=0.3)
        else:
            overtaken.set()
        return published

    monkeypatch.setattr(publishing, "load_published", _load)
    bench.policy_file.write_text(POLICY.replace("/v1/ping", "/v1/older"))
    await asyncio.gather(plane.reload_policy(), plane.reload_policy())
    assert plane.published.digest == digest(newer)


async def test_what_is_kept_as_accepted_is_what_was_parsed(bench: Bench) -> None:
    plane = await started(bench)
    bench.policy_file.write_text(BROKEN)
    store_accepted(plane.published, bench.layout)
    assert bench.layout.accepted_policy.read_text() == POLICY


async def test_a_disk_that_cannot_keep_the_policy_does_not_keep_it_from_being_in_force(
    bench: Bench,
) -> None:
    plane = await started(bench)
    bench.layout.accepted_policy.unlink()
    bench.layout.accepted_policy.mkdir()
    changed = POLICY.replace("/v1/ping", "/v1/pong")
    bench.policy_file.write_text(changed)
    assert await plane.reload_policy() is None
    assert plane.published.digest == digest(changed)
    assert bench.findings.codes == ["policy.not_kept"]


async def test_findings_that_the_disk_refuses_are_stored_later_in_their_order(
    bench: Bench,
) -> None:
    plane = await started(bench)
    bench.findings.full = True
    for text in (BROKEN, "{"):
        bench.policy_file.write_text(text)
        assert await plane.reload_policy()
    assert bench.findings.stored == []
    bench.findings.full = False
    plane.teller.retry()
    assert bench.findings.codes == ["policy.refused"] * 2
    assert "colour" in bench.findings.stored[0].sentence


async def test_an_authority_that_cannot_issue_raises_a_finding(bench: Bench) -> None:
    plane = await started(bench)
    bench.clock.advance(days=400)
    for _ in range(2):
        plane.certificates.renew_due()
    assert bench.findings.codes == ["identity.renewal_failed"]
