"""What a real Envoy makes of revocation lists, and how ours keep it from refusing the innocent."""

import ssl
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from tests.e2e.test_discovery import HOST, World, filters_allowing, world

from meshwarden.adapters.chance import SystemChance
from meshwarden.adapters.envoy.snapshot import build_snapshot
from meshwarden.adapters.envoy.tls import svid_secret
from meshwarden.identity import (
    MAX_LIFETIME_S,
    Authority,
    Root,
    Trust,
    create_authority,
    create_root,
    issue_crl,
    render_crl,
)
from meshwarden.identity.crl import LIFETIME, RevokedSerial

pytestmark = pytest.mark.e2e
__all__ = ["world"]  # the fixture


def list_of(authority: Authority, *serials: int, made: datetime | None = None) -> str:
    """Return the revocation list that `authority` made at `made`."""
    now = datetime.now(UTC)
    revoked = [RevokedSerial(serial=serial, time=now) for serial in serials]
    return render_crl(issue_crl(authority, revoked, number=1, now=made or now))


async def trusting(world: World, bundle: str, crls: str) -> None:
    svid = world.svid("front")
    secret = svid_secret(svid.certificate_chain, svid.private_key.reveal())
    snapshot = build_snapshot(
        world.sidecar, filters_allowing("/a"), svid=secret, bundle=bundle, crls=crls
    )
    world.server.publish("front", snapshot)
    assert await world.settled() == []


async def passes(world: World) -> bool:
    """Return whether a fresh certificate of the world's authority gets through."""
    context = world.client_context("back")
    try:
        async with httpx.AsyncClient(verify=context, trust_env=False, timeout=40) as client:
            return (await client.get(f"https://{HOST}:15443/a")).status_code == 200
    except (httpx.HTTPError, ssl.SSLError):  # an alert that comes after the handshake is bare
        return False


def authority_under(root: Root) -> Authority:
    return create_authority(root, now=datetime.now(UTC), serial=SystemChance().serial())


def other_root() -> Root:
    return create_root("test.example", now=datetime.now(UTC), serial=SystemChance().serial())


async def test_a_list_past_its_next_update_refuses_everyone_and_ours_outlives_every_svid(
    world: World,
) -> None:
    bundle = world.authority.bundle.pem
    now = datetime.now(UTC)
    await trusting(
        world, bundle, list_of(world.authority, made=now - LIFETIME - timedelta(hours=1))
    )
    assert not await passes(world)  # the trap is real
    # The control plane went away right after it made a list, and every SVID has ended since.
    away = timedelta(seconds=MAX_LIFETIME_S) + timedelta(days=1)
    await trusting(world, bundle, list_of(world.authority, made=now - away))
    assert await passes(world)


async def test_a_list_made_by_a_clock_that_is_ahead_refuses_nobody(world: World) -> None:
    ahead = datetime.now(UTC) + timedelta(hours=12)
    await trusting(world, world.authority.bundle.pem, list_of(world.authority, made=ahead))
    assert await passes(world)


async def test_a_second_issuer_needs_a_list_of_its_own_and_gets_one_before_it_signs(
    world: World,
) -> None:
    first = world.authority
    second = authority_under(other_root())
    trust = Trust(current=first, prepared=second)
    assert {one.issuer for one in trust.authorities} == {first.issuer, second.issuer}
    bundle = trust.bundle.pem
    await trusting(world, bundle, list_of(first))
    world.authority = second
    assert not await passes(world)  # trusted, but without a list: refused
    lists = "".join(map(list_of, trust.authorities))
    await trusting(world, bundle, lists)
    assert await passes(world)
    world.authority = first
    await trusting(world, bundle, lists)
    assert await passes(world)


async def test_one_issuers_list_says_nothing_about_the_same_serial_of_another(
    world: World,
) -> None:
    second = authority_under(other_root())
    svid = world.svid("back")
    bundle = Trust(current=world.authority, prepared=second).bundle.pem
    await trusting(world, bundle, list_of(world.authority) + list_of(second, svid.serial))
    assert await passes(world)


async def test_an_empty_list_refuses_nobody_and_a_filled_one_only_whom_it_names(
    world: World,
) -> None:
    bundle = world.authority.bundle.pem
    await trusting(world, bundle, list_of(world.authority))
    assert await passes(world)
    await trusting(world, bundle, list_of(world.authority, *range(2**100, 2**100 + 2000)))
    assert await passes(world)


async def test_without_lists_none_is_looked_for(world: World) -> None:
    """An authority that was brought and may sign no lists: containment has to do alone."""
    await trusting(world, world.authority.bundle.pem, "")
    assert await passes(world)
