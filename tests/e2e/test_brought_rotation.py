"""An authority that the user brings is replaced with another one, and nobody is refused."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from tests.e2e.mesh_process import run
from tests.e2e.small_mesh import Running, eventually, running_mesh
from tests.e2e.steady_load import steady_load

from meshwarden.adapters.chance import SystemChance
from meshwarden.control.layout import CONTROL_PLANE
from meshwarden.identity import create_authority, create_root, issuer_name, render_private_key
from meshwarden.identity.model import render_certificates

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(180),
    pytest.mark.asyncio(loop_scope="module"),
]


def bring(directory: Path, name: str) -> str:
    """Write an authority's certificates and key; return its issuer's name."""
    now, chance = datetime.now(UTC), SystemChance()
    root = create_root("test.example", now=now, serial=chance.serial())
    one = create_authority(root, now=now, serial=chance.serial())
    chain = (*one.intermediates, *one.bundle.certificates)
    (directory / f"{name}.pem").write_text(render_certificates(chain))
    (directory / f"{name}.key").touch(mode=0o600)
    (directory / f"{name}.key").write_text(render_private_key(one.key).reveal())
    return issuer_name(one)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def mesh(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Running]:
    directory = tmp_path_factory.mktemp("m")
    bring(directory, "first")
    more = "authority: {certificates: first.pem, key: first.key}"
    async with running_mesh(directory, more=more) as running:
        await running.settled()
        yield running


async def rotate(mesh: Running, certificates: str, key: str) -> tuple[int, list[str]]:
    return await run(
        "identity", "rotate", "--certificates", str(mesh.directory / certificates),
        "--key", str(mesh.directory / key), "--state", str(mesh.layout.state),
    )  # fmt: skip


async def authorities(mesh: Running) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await mesh.api("GET", "/v1/identity")).json()["authorities"]
    return found


async def test_a_brought_authority_is_replaced_under_load_and_stays_so_after_a_kill(
    mesh: Running,
) -> None:
    second = bring(mesh.directory, "second")
    [before] = await authorities(mesh)
    async with steady_load(mesh.layout.proxy("front")) as load:
        await load.reached(50)
        assert await rotate(mesh, "second.pem", "second.key") == (0, [])
        await load.reached(100)
        roles = {one["issuer"]: one["role"] for one in await authorities(mesh)}
        assert roles == {second: "signing", before["issuer"]: "retired"}

        pid = mesh.supervisor.pids[CONTROL_PLANE]
        os.kill(pid, signal.SIGKILL)

        async def _again() -> bool:
            if mesh.supervisor.pids.get(CONTROL_PLANE) in {None, pid}:
                return False
            try:
                return bool((await authorities(mesh))[0]["issuer"] == second)
            except httpx.HTTPError:
                return False

        await eventually(_again, within_s=60, what="the control plane is back on the successor")
        await mesh.settled(within_s=60)
        await load.reached(100)
    assert set(load.statuses) == {200}


@pytest.mark.parametrize(
    ("certificates", "key", "why"),
    [
        ("third.pem", "first.key", "key"),
        ("third.pem", "open.key", "others may have read it"),
        ("missing.pem", "third.key", "cannot read"),
        ("now.pem", "now.key", "in use already"),
    ],
)
async def test_what_cannot_replace_it_is_refused_in_one_line_and_changes_nothing(
    mesh: Running, certificates: str, key: str, why: str
) -> None:
    bring(mesh.directory, "third")
    open_key = mesh.directory / "open.key"
    await asyncio.to_thread(open_key.write_bytes, (mesh.directory / "third.key").read_bytes())
    open_key.chmod(0o644)
    if certificates == "now.pem":
        bring(mesh.directory, "now")
        assert await rotate(mesh, "now.pem", "now.key") == (0, [])
    before = await authorities(mesh)
    status, [line] = await rotate(mesh, certificates, key)
    assert status in {2, 3}
    assert why in line
    assert await authorities(mesh) == before
