"""Keys of an identity provider: cached, refreshed, and refused once they are too old."""

from dataclasses import replace
from datetime import timedelta

import httpx
import pytest
from tests.unit.plane.bench import START, FakeClock

from meshwarden.adapters.oidc.codec import parse_discovery
from meshwarden.adapters.oidc.keys import TRIES, TRIES_S, IssuerKeys
from meshwarden.kernel import DependencyError, InputError
from meshwarden.tokens import Issuer, create_key, render_jwks

ISSUER = Issuer(issuer="https://idp.example", audience="api", keys_max_age_s=3600)


class World:
    """A provider that can rotate, break and go away."""

    def __init__(self, issuer: Issuer = ISSUER) -> None:
        self.keys = [create_key(START)]
        self.fetched = 0
        self.gone = False
        self.body: bytes | None = None
        self.clock = FakeClock()
        self.client = httpx.AsyncClient(transport=httpx.MockTransport(self._answer))
        self.issuer_keys = IssuerKeys(issuer, self.client, self.clock)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        if self.gone:
            raise httpx.ConnectError("gone")
        if request.url.path == "/.well-known/openid-configuration":
            return httpx.Response(
                200, json={"issuer": ISSUER.issuer, "jwks_uri": "https://idp.example/jwks"}
            )
        self.fetched += 1
        return httpx.Response(
            200, content=self.body or render_jwks([key.public for key in self.keys])
        )


async def test_a_known_key_is_fetched_once() -> None:
    world = World()
    kid = world.keys[0].kid
    for _ in range(5):
        assert kid in await world.issuer_keys.keys(kid)
    assert world.fetched == 1


@pytest.mark.parametrize("pause_s", [16, 29, 31, 299])
async def test_a_short_limit_is_no_reason_to_refuse_while_the_provider_answers(
    pause_s: int,
) -> None:
    world = World(replace(ISSUER, keys_max_age_s=30))
    kid = world.keys[0].kid
    for _ in range(3):
        assert kid in await world.issuer_keys.keys(kid)
        world.clock.advance(seconds=pause_s)
    assert kid in await world.issuer_keys.keys(kid)


async def test_a_new_key_is_seen_at_once_and_made_up_names_cost_little() -> None:
    world = World()
    await world.issuer_keys.keys(world.keys[0].kid)
    world.keys.append(create_key(START))
    assert world.keys[1].kid in await world.issuer_keys.keys(world.keys[1].kid)
    for number in range(50):
        await world.issuer_keys.keys(f"made-up-{number}")
    assert world.fetched <= TRIES
    world.clock.advance(seconds=TRIES_S)
    await world.issuer_keys.keys("made-up")
    assert world.fetched <= TRIES + 1


async def test_kept_keys_stand_until_their_limit_and_then_nothing_does() -> None:
    world = World()
    kid = world.keys[0].kid
    await world.issuer_keys.keys(kid)
    world.gone = True
    world.clock.advance(seconds=3599)
    assert kid in await world.issuer_keys.keys(kid)
    world.clock.advance(seconds=2)
    with pytest.raises(DependencyError) as caught:
        await world.issuer_keys.keys(kid)
    assert caught.value.code == "token.issuer_keys"
    world.gone = False
    world.clock.advance(seconds=TRIES_S)
    assert kid in await world.issuer_keys.keys(kid)


@pytest.mark.parametrize("body", [b"{", b'{"keys": 1}', b" " * 300_000])
async def test_a_broken_answer_changes_nothing(body: bytes) -> None:
    world = World()
    kid = world.keys[0].kid
    await world.issuer_keys.keys(kid)
    world.body = body
    world.clock.time += timedelta(seconds=400)
    await world.issuer_keys.keys("unknown")
    assert kid in await world.issuer_keys.keys(kid)


@pytest.mark.parametrize(
    "raw",
    [
        b"{}",
        b'{"issuer": "https://evil.example", "jwks_uri": "https://idp.example/jwks"}',
        b'{"issuer": "https://idp.example", "jwks_uri": "http://idp.example/jwks"}',
        b'{"issuer": "https://idp.example", "jwks_uri": "file:///etc/passwd"}',
        b'{"issuer": "https://idp.example", "jwks_uri": 5}',
        b"not json",
    ],
)
def test_a_discovery_document_of_somebody_else_is_refused(raw: bytes) -> None:
    with pytest.raises(InputError):
        parse_discovery(raw, ISSUER.issuer)
