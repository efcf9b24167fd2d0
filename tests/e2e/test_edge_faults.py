"""What the edge does when what it asks is slow, dead, or cannot keep what it must remember."""

import asyncio
import json
import os
import signal
import sqlite3
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from tests.e2e.edge_mesh import EdgeMesh, edge_mesh
from tests.e2e.identity_provider import identity_provider
from tests.e2e.small_mesh import eventually
from tests.e2e.test_edge import headers_seen

from meshwarden.control.layout import CONTROL_PLANE

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[EdgeMesh]:
    async with (
        identity_provider() as provider,
        edge_mesh(tmp_path_factory.mktemp("f"), provider) as running,
    ):
        await is_well(running)
        yield running


async def is_well(world: EdgeMesh) -> None:
    async def _answers() -> bool:
        answer = await world.ask("/v1/items/1", token=world.provider.token())
        return answer.status_code == 200

    await eventually(_answers, what="the edge lets customers in")


async def test_an_authorizer_that_does_not_answer_in_time_is_a_visible_refusal(
    world: EdgeMesh,
) -> None:
    pid, token = world.mesh.supervisor.pids[CONTROL_PLANE], world.provider.token()
    os.kill(pid, signal.SIGSTOP)
    try:
        answers = [await world.ask("/v1/items/1", token=token) for _ in range(3)]
        open_still = await world.ask("/public/page")
    finally:
        os.kill(pid, signal.SIGCONT)
    for answer in answers:
        assert (answer.status_code, answer.json()["code"]) == (503, "authorizer.unavailable")
        assert answer.headers["content-type"] == "application/problem+json"
    assert open_still.status_code == 200
    await is_well(world)
    assert await world.mesh.rows(rule="authorizer:unavailable", denied=True)

    async def _found() -> bool:
        findings = world.mesh.layout.findings
        if not await asyncio.to_thread(findings.exists):
            return False  # written with the first finding
        text = await asyncio.to_thread(findings.read_text)
        found = [json.loads(line) for line in text.splitlines()]
        return any(
            (one["code"], one["subject"]) == ("authorizer.unavailable", "gate") for one in found
        )

    await eventually(_found, what="a finding about the refused requests")


async def test_a_control_plane_that_is_killed_shuts_the_edge_and_opens_it_again(
    world: EdgeMesh,
) -> None:
    os.kill(world.mesh.supervisor.pids[CONTROL_PLANE], signal.SIGKILL)
    answer = await world.ask("/v1/items/1", token=world.provider.token())
    assert answer.status_code in {200, 503}
    await is_well(world)


async def test_a_failure_inside_stays_one_where_nobody_answers_for_it(world: EdgeMesh) -> None:
    await is_well(world)
    pid = world.mesh.supervisor.pids[CONTROL_PLANE]
    own = world.mesh.layout.app_socket("middle")
    asked = asyncio.create_task(world.ask("/to/middle/late", token=world.provider.token()))

    async def _let_in() -> bool:
        return await asyncio.to_thread(own.with_name(f"{own.name}.in").exists)

    await eventually(_let_in, what="the request at the middle")
    os.kill(pid, signal.SIGSTOP)
    try:
        own.with_name(f"{own.name}.go").touch()
        answer = await asked
    finally:
        os.kill(pid, signal.SIGCONT)
    assert (answer.status_code, answer.json()["code"]) == (502, "upstream.failed")
    await is_well(world)


async def test_single_use_that_cannot_be_recorded_is_refused(world: EdgeMesh) -> None:
    inside = await world.ask("/v1/items/1", token=world.provider.token())
    headers = {"txn-token": dict(headers_seen(inside))["txn-token"]}
    state = world.mesh.layout.token_state
    holder = sqlite3.connect(state, isolation_level=None)
    try:
        holder.execute("BEGIN EXCLUSIVE")  # nobody else can write until it ends
        async with world.mesh.client("middle", headers=headers) as client:
            answer = await client.get("http://vault/v1/once/1")
            assert answer.status_code == 503
            assert (await client.get("http://vault/v1/plain/1")).status_code == 200
    finally:
        holder.rollback()
        holder.close()

    async def _spendable() -> bool:
        fresh = await world.ask("/v1/items/1", token=world.provider.token())
        if fresh.status_code != 200:
            return False
        token = {"txn-token": dict(headers_seen(fresh))["txn-token"]}
        async with world.mesh.client("middle", headers=token) as client:
            return (await client.get("http://vault/v1/once/2")).status_code == 200

    await eventually(_spendable, what="single use can be recorded again")


async def test_a_changed_token_policy_is_in_force_at_the_edge_without_a_dropped_connection(
    world: EdgeMesh,
) -> None:
    path = world.mesh.directory / "tokens.yaml"
    before = path.read_text()
    path.write_text(before.replace('open: ["/public/**"]', 'open: ["/public/**", /news]'))

    async def _open() -> bool:
        return (await world.ask("/news")).status_code == 200

    await eventually(_open, what="the page that is open now")
    path.write_text(before.replace('"/v1/items/{id}"', '"/v1/items/{id"'))

    async def _refused() -> bool:
        text = await asyncio.to_thread(world.mesh.layout.findings.read_text)
        return "tokens.policy_refused" in text

    await eventually(_refused, what="a finding about the impossible pattern")
    assert (await world.ask("/news")).status_code == 200  # the last good one is in force
    path.write_text(before)


async def test_a_revoked_session_is_refused_at_the_edge_at_once(world: EdgeMesh) -> None:
    await is_well(world)
    token = world.provider.token(sub="thief", sid="stolen")
    assert (await world.ask("/v1/items/1", token=token)).status_code == 200
    done = await world.admin("POST", "/v1/tokens/revoke", {"kind": "subject", "value": "thief"})
    assert done.json()["enforced_ms"] < 1000
    answer = await world.ask("/v1/items/1", token=token)
    assert (answer.status_code, answer.json()["code"]) == (401, "token.revoked")
    assert 'error="invalid_token"' in answer.headers["www-authenticate"]
