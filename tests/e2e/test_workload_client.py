"""The Workload API as the unmodified `spiffe` client sees it."""

import os
import queue
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from spiffe import SpiffeId as ClientSpiffeId
from spiffe import TrustDomain, WorkloadApiClient
from spiffe.workloadapi.errors import FetchJwtSvidError, FetchX509SvidError, ValidateJwtSvidError
from tests.e2e.workload_support import DOMAIN, IDENTITY, World, in_thread, workload_world

from meshwarden.adapters.chance import SystemChance
from meshwarden.identity import Bundle, create_authority, create_key, create_root
from meshwarden.kernel import SpiffeId

pytestmark = pytest.mark.e2e


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with workload_world(tmp_path) as found:
        yield found


@pytest.fixture  # closed within the loop that serves it
async def client(world: World) -> AsyncIterator[WorkloadApiClient]:
    found = await in_thread(WorkloadApiClient, world.address)
    yield found
    await in_thread(found.close)


async def test_an_x509_svid_and_its_bundle_are_fetched(
    world: World, client: WorkloadApiClient
) -> None:
    context = await in_thread(client.fetch_x509_context)
    svid = context.default_svid
    assert str(svid.spiffe_id) == str(IDENTITY)
    assert len(svid.cert_chain) == 2
    bundle = context.x509_bundle_set.get_bundle_for_trust_domain(TrustDomain(DOMAIN))
    assert bundle is not None
    assert bundle.x509_authorities == {world.root.certificate}
    [issued] = world.issued
    assert issued.facts.pid == os.getpid()


async def test_one_process_has_one_svid_however_often_it_asks(
    world: World, client: WorkloadApiClient
) -> None:
    first = await in_thread(client.fetch_x509_svid)
    second = await in_thread(client.fetch_x509_svid)
    assert first.leaf.serial_number == second.leaf.serial_number
    assert len(world.issued) == 1


async def test_a_watcher_sees_a_renewal_and_a_new_root(
    world: World, client: WorkloadApiClient
) -> None:
    seen: queue.Queue[object] = queue.Queue()
    handle = client.stream_x509_contexts(seen.put, seen.put)
    first = await in_thread(seen.get, timeout=40)
    world.clock.offset = timedelta(minutes=40)
    world.server.refresh(world.issuing.renew_due())
    second = await in_thread(seen.get, timeout=40)
    assert first.default_svid.leaf != second.default_svid.leaf  # type: ignore[attr-defined]
    chance, now = SystemChance(), world.clock.now()
    world.root = create_root(DOMAIN, now=now, serial=chance.serial())
    old = world.authority
    world.authority = create_authority(world.root, now=now, serial=chance.serial())
    world.federated = {}
    world.server.refresh()
    third = await in_thread(seen.get, timeout=40)
    bundle = third.x509_bundle_set.get_bundle_for_trust_domain(TrustDomain(DOMAIN))  # type: ignore[attr-defined]
    assert bundle.x509_authorities == {world.root.certificate}
    assert old.bundle.certificates[0] not in bundle.x509_authorities
    await in_thread(handle.cancel)


async def test_an_unchanged_state_is_not_sent_again(
    world: World, client: WorkloadApiClient
) -> None:
    seen: queue.Queue[object] = queue.Queue()
    handle = client.stream_x509_contexts(seen.put, seen.put)
    await in_thread(seen.get, timeout=40)
    world.server.refresh()
    await in_thread(client.fetch_x509_svid)  # what was sent before has arrived by now
    assert seen.empty()
    await in_thread(handle.cancel)


async def test_federated_bundles_arrive_under_their_own_trust_domain(
    world: World, client: WorkloadApiClient
) -> None:
    now, chance = world.clock.now(), SystemChance()
    partner = create_root("partner.example", now=now, serial=chance.serial())
    world.federated = {
        "partner.example": Bundle(
            trust_domain="partner.example", certificates=(partner.certificate,)
        )
    }
    bundles = await in_thread(client.fetch_x509_bundles)
    found = bundles.get_bundle_for_trust_domain(TrustDomain("partner.example"))
    assert found is not None
    assert found.x509_authorities == {partner.certificate}


async def test_a_jwt_svid_is_fetched_and_validated(client: WorkloadApiClient) -> None:
    token = await in_thread(client.fetch_jwt_svid, {"ledger"})
    assert str(token.spiffe_id) == str(IDENTITY)
    proven = await in_thread(client.validate_jwt_svid, token.token, "ledger")
    assert str(proven.spiffe_id) == str(IDENTITY)
    with pytest.raises(ValidateJwtSvidError):
        await in_thread(client.validate_jwt_svid, token.token, "payments")


async def test_jwt_keys_rotate_with_overlap(world: World, client: WorkloadApiClient) -> None:
    before = await in_thread(client.fetch_jwt_svid, {"ledger"})
    world.keys = (*world.keys, create_key(world.clock.now()))
    after = await in_thread(client.fetch_jwt_svid, {"ledger"})
    for token in (before, after):
        await in_thread(client.validate_jwt_svid, token.token, "ledger")
    bundles = await in_thread(client.fetch_jwt_bundles)
    bundle = bundles.get_bundle_for_trust_domain(TrustDomain(DOMAIN))
    assert bundle is not None
    assert set(bundle.jwt_authorities) == {one.kid for one in world.keys}


async def test_a_foreign_spiffe_id_is_refused_like_an_unknown_one(
    world: World, client: WorkloadApiClient
) -> None:
    world.register(SpiffeId.parse(f"spiffe://{DOMAIN}/other"), uid=4321)
    messages = set()
    for name in ("other", "nobody"):
        wanted = ClientSpiffeId(f"spiffe://{DOMAIN}/{name}")
        with pytest.raises(FetchJwtSvidError) as refused:
            await in_thread(client.fetch_jwt_svid, {"ledger"}, wanted)
        messages.add(str(refused.value))
    assert len(messages) == 1


async def test_two_identities_come_the_first_registered_first(
    world: World, client: WorkloadApiClient
) -> None:
    world.register(SpiffeId.parse(f"spiffe://{DOMAIN}/second"), hint="extra", uid=os.getuid())
    svids = await in_thread(client.fetch_x509_svids)
    assert [str(one.spiffe_id) for one in svids] == [str(IDENTITY), f"spiffe://{DOMAIN}/second"]


async def test_what_meets_no_registration_gets_nothing_and_is_recorded(
    world: World, client: WorkloadApiClient
) -> None:
    world.registrations.clear()
    world.register(IDENTITY, uid=4321)
    with pytest.raises(FetchX509SvidError, match="no identity issued"):
        await in_thread(client.fetch_x509_svid)
    assert [facts.pid for facts in world.refused] == [os.getpid()]
    assert world.issued == []


async def test_a_withdrawn_registration_ends_the_stream(
    world: World, client: WorkloadApiClient
) -> None:
    seen: queue.Queue[object] = queue.Queue()
    handle = client.stream_x509_contexts(seen.put, seen.put, retry_connect=False)
    await in_thread(seen.get, timeout=40)
    world.registrations.clear()
    world.server.refresh()
    error = await in_thread(seen.get, timeout=40)
    assert "PERMISSION_DENIED" in str(error)
    await in_thread(handle.cancel)
