"""The token service over its real store: restarts, replicas, full disks, revocation, single use."""

import contextlib
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.unit.plane.bench import FakeChance
from tests.unit.tokens.world import (
    GATEWAY,
    ISSUER,
    NOW,
    NOW_S,
    PAYMENTS,
    SCORING,
    World,
    form,
)

from meshwarden.adapters.storage.tokens.database import Database
from meshwarden.control.tokens.keeping import revocation
from meshwarden.control.tokens.opening import open_tokens
from meshwarden.control.tokens.service import Caller, TokenService
from meshwarden.kernel import DependencyError, StateError
from meshwarden.tokens import (
    IssuedToken,
    OAuthCode,
    OAuthError,
    RevokedKind,
    SubjectKind,
    TokenError,
    UnverifiedToken,
    render_jwks,
)
from meshwarden.tokens.jws import sign_compact


class Clock:
    def __init__(self) -> None:
        self.time = NOW

    def now(self) -> Any:
        return self.time


@contextlib.asynccontextmanager
async def service(
    world: World, state: Path, clock: Clock | None = None
) -> AsyncIterator[TokenService]:
    def answer(request: httpx.Request) -> httpx.Response:
        document = {"issuer": ISSUER, "jwks_uri": f"{ISSUER}/jwks"}
        if request.url.path.endswith("/jwks"):
            return httpx.Response(200, content=render_jwks([world.idp.public]))
        return httpx.Response(200, json=document)

    chance = FakeChance()
    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as client:
        found = open_tokens(
            world.policy, state, clock=clock or Clock(), draw=lambda: f"{chance.serial():032x}",
            client=client, secret=b"s" * 32,
        )  # fmt: skip
        async with found.running():
            yield found


async def ask(
    found: TokenService, token: UnverifiedToken, client: Any = GATEWAY, **changes: str
) -> IssuedToken | OAuthError:
    return await found.answer(
        form(subject_token=token.reveal(), **changes), Caller(identity=client)
    )


async def issued(
    found: TokenService, token: UnverifiedToken, client: Any = GATEWAY, **changes: str
) -> IssuedToken:
    answer = await ask(found, token, client, **changes)
    assert isinstance(answer, IssuedToken), answer
    return answer


async def test_nobody_replaces_a_token_that_cannot_have_been_handed_to_it(tmp_path: Path) -> None:
    world, told = World(), []
    async with service(world, tmp_path / "t" / "tokens.sqlite") as found:
        first = await issued(found, world.access_token())
        found.outside = lambda holders, sources: frozenset(sources) if holders else frozenset()
        found.strayed = lambda transaction, who: told.append((transaction, who))
        changes = {"subject_token_type": SubjectKind.TXN_TOKEN.value, "request_details": "{}"}
        answer = await ask(found, first.token, PAYMENTS, **changes)
        assert isinstance(answer, OAuthError)
        assert (answer.error, answer.reason) == (
            OAuthCode.INVALID_REQUEST, "exchange.never_handed",
        )  # fmt: skip
        assert told == [(first.claims.transaction, PAYMENTS)]
        assert [link.requester for link in await found.chain(first.claims.transaction)] == [
            str(GATEWAY)
        ]
        await issued(found, world.access_token())  # what comes from outside was handed to nobody


async def test_a_jwt_svid_that_was_ended_starts_no_work_any_more(tmp_path: Path) -> None:
    world = World()
    names = {"sub": str(SCORING), "aud": world.policy.issuer, "iat": NOW_S, "exp": NOW_S + 60}
    token = sign_compact(names, world.idp.jose, algorithm="ES256", kid=world.idp.kid, typ="JWT")
    asked = {"subject_token_type": SubjectKind.SELF_SIGNED.value, "scope": "report:run"}
    async with service(world, tmp_path / "t" / "tokens.sqlite") as found:
        found.subjects.workload_keys = lambda: {world.idp.kid: world.idp.public}
        await issued(found, token, SCORING, **asked)
        found.subjects.workload_ended = lambda one: NOW if one == SCORING else None
        answer = await ask(found, token, SCORING, **asked)
        assert isinstance(answer, OAuthError)
        assert answer.reason == "token.revoked"
        found.subjects.workload_ended = lambda _: NOW - timedelta(seconds=1)
        await issued(found, token, SCORING, **asked)


async def test_keys_and_chains_survive_a_restart_and_are_shared_by_replicas(tmp_path: Path) -> None:
    world = World()
    state = tmp_path / "t" / "tokens.sqlite"
    async with service(world, state) as one, service(world, state) as other:
        first = await issued(one, world.access_token())
        assert other.verify(first.token).claims == first.claims
        changes = {"subject_token_type": SubjectKind.TXN_TOKEN.value, "request_details": "{}"}
        second = await issued(other, first.token, PAYMENTS, **changes)
    async with service(world, state) as again:
        assert again.verify(second.token).claims.transaction == first.claims.transaction
        chain = await again.chain(first.claims.transaction)
        assert [link.requester for link in chain] == [str(GATEWAY), str(PAYMENTS)]
        assert chain[1].replaced == first.token.digest
    assert state.stat().st_mode & 0o077 == 0
    assert first.token.reveal().split(".")[2].encode() not in state.read_bytes()


async def test_a_revocation_of_one_replica_holds_at_the_others_and_after_a_restart(
    tmp_path: Path,
) -> None:
    world = World()
    state = tmp_path / "tokens.sqlite"
    async with service(world, state) as one, service(world, state) as other:
        token = await issued(one, world.access_token())
        session = token.claims.session
        assert session is not None
        await one.keeping.revoke([revocation(RevokedKind.SESSION, session, time=NOW)])
        for replica in (one, other):
            await replica.keeping.look()
            refused = await ask(replica, world.access_token())
            assert isinstance(refused, OAuthError)
            assert refused.reason == "token.revoked"
            with pytest.raises(TokenError, match="session is revoked"):
                replica.verify(token.token)
    async with service(world, state) as again:
        assert isinstance(await ask(again, world.access_token()), OAuthError)


async def test_a_token_is_spent_once_at_whichever_replica(tmp_path: Path) -> None:
    world = World()
    state = tmp_path / "tokens.sqlite"
    async with service(world, state) as one, service(world, state) as other:
        token = one.verify((await issued(one, world.access_token())).token)
        assert [await one.spend(token), await other.spend(token), await one.spend(token)] == [
            True,
            False,
            False,
        ]


async def test_a_withdrawn_key_is_refused_at_once_and_another_signs(tmp_path: Path) -> None:
    world = World()
    async with service(world, tmp_path / "tokens.sqlite") as found:
        token = await issued(found, world.access_token())
        assert await found.keeping.withdraw(token.kid)
        with pytest.raises(TokenError):
            found.verify(token.token)
        assert (await issued(found, world.access_token())).kid != token.kid


async def test_no_record_no_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    async with service(world, tmp_path / "tokens.sqlite") as found:
        await issued(found, world.access_token())

        def full(*_: object) -> None:
            raise DependencyError("tokens.storage", "no space left")

        monkeypatch.setattr(found.journal, "_write", full)
        refused = await ask(found, world.access_token())
        assert isinstance(refused, OAuthError)
        assert (refused.error, refused.status) == (OAuthCode.UNAVAILABLE, 503)
        monkeypatch.undo()
        await issued(found, world.access_token())


async def test_an_issuer_whose_keys_cannot_be_had_is_no_server_error(tmp_path: Path) -> None:
    world = World()
    async with service(world, tmp_path / "tokens.sqlite") as found:
        stranger = World()
        refused = await ask(found, stranger.access_token())
        assert isinstance(refused, OAuthError)
        assert (refused.error, refused.reason) == (OAuthCode.INVALID_REQUEST, "token.key")
        other = world.access_token(iss="https://evil.example")
        refused = await ask(found, other)
        assert isinstance(refused, OAuthError)
        assert refused.reason == "token.issuer"
        assert found.outcomes["token.issuer"] == 1


async def test_risk_is_learned_and_erased(tmp_path: Path) -> None:
    world = World()
    context = (
        '{"req_ip": "203.0.113.9", "user_agent": "Mozilla/5.0 (X11; Linux x86_64) Firefox/128.0"}'
    )
    async with service(world, tmp_path / "tokens.sqlite") as found:
        for number in range(8):
            token = world.access_token(sid=f"s{number}")
            usual = await issued(found, token, request_context=context)
        abroad = '{"req_ip": "198.51.100.7", "user_agent": "curl/8.0"}'
        strange = await ask(found, world.access_token(sid="s9"), request_context=abroad)
        score = usual.claims.context["risk"]
        assert isinstance(strange, IssuedToken)
        assert strange.claims.context["risk"] > score + 2
        assert (
            strange.claims.expires - strange.claims.issued
            < usual.claims.expires - usual.claims.issued
        )
        assert await found.risk.erase("8f21")
        anew = await issued(found, world.access_token(sid="s10"), request_context=abroad)
        assert anew.claims.context["risk"] < strange.claims.context["risk"]


def test_a_state_that_others_could_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "tokens.sqlite"
    path.touch(mode=0o644)
    path.chmod(0o644)
    with pytest.raises(StateError, match="others"):
        Database(path)


def test_a_state_that_is_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "tokens.sqlite"
    path.touch(mode=0o600)
    path.write_bytes(b"not a database" * 100)
    with pytest.raises(DependencyError):
        Database(path)
