"""`meshwarden identity` against a running mesh, as a user types it."""

import asyncio
import json
import os
import signal
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from cryptography import x509
from tests.e2e.mesh_process import command
from tests.e2e.small_mesh import Running, running_mesh
from tests.e2e.thief import stolen_svid

from meshwarden.control.layout import CONTROL_PLANE

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def mesh(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Running]:
    async with running_mesh(tmp_path_factory.mktemp("m")) as running:
        await running.settled()
        yield running


async def run(*arguments: str, state: Path) -> subprocess.CompletedProcess[str]:
    line = command("identity", *arguments, "--state", str(state))
    return await asyncio.to_thread(
        subprocess.run, line, capture_output=True, text=True, timeout=120, check=False
    )


async def answer(*arguments: str, mesh: Running, code: int = 0) -> Any:
    done = await run(*arguments, "--json", state=mesh.layout.state)
    assert done.returncode == code, done.stderr
    return json.loads(done.stdout)


async def test_list_shows_every_service_with_its_end_and_renewal(mesh: Running) -> None:
    found = await answer("list", mesh=mesh)
    held = {one["instance"]: one for one in found["certificates"]}
    assert set(held) == {"front", "back", "store", "stranger"}
    assert all(one["status"] == "current" and one["renews_in_s"] > 0 for one in held.values())
    text = (await run("list", state=mesh.layout.state)).stdout
    assert held["front"]["sha256"][:16] in text
    assert "renewed in" in text


async def test_watch_shows_it_again_each_second(mesh: Running) -> None:
    process = await asyncio.create_subprocess_exec(
        *command("identity", "list", "--watch", "--json", "--state", str(mesh.layout.state)),
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(90):
            lines = [json.loads(await process.stdout.readline()) for _ in range(2)]
    finally:
        process.terminate()
        await process.wait()
    assert lines[0]["time"] < lines[1]["time"]


async def test_revoke_show_and_rotate_tell_one_story(mesh: Running) -> None:
    [before] = (await answer("show", "front", mesh=mesh))["certificates"]
    serial = before["serial"]
    revoked = await answer("revoke", serial, "--reason", "test", mesh=mesh)
    assert [one["sha256"] for one in revoked["certificates"]] == [before["sha256"]]
    assert revoked["replaced"] == ["front"]
    shown = await answer("show", before["sha256"][:12], mesh=mesh)
    assert shown["certificates"][0]["status"] == "revoked"
    assert shown["revoked"][0]["reason"] == "test"
    fresh = await answer("rotate", "front", mesh=mesh)
    assert fresh["sha256"] != before["sha256"]
    done = await run("revoke", "front", "--no-replace", state=mesh.layout.state)
    assert "front is cut off" in done.stdout
    assert "enforced everywhere after" in done.stdout
    await answer("rotate", "front", mesh=mesh)


async def test_a_certificate_is_revoked_from_its_file_and_its_key_is_not_sent(
    mesh: Running, tmp_path: Path
) -> None:
    thief = stolen_svid(mesh.layout, "front", tmp_path)
    file = tmp_path / f"{thief.sha256}.pem"  # the key comes first in it
    revoked = await answer("revoke", str(file), mesh=mesh)
    assert [one["sha256"] for one in revoked["certificates"]] == [thief.sha256]


async def test_the_bundle_follows_a_rotation_of_the_root(mesh: Running) -> None:
    before = await answer("bundle", mesh=mesh)
    assert len(x509.load_pem_x509_certificates(before["pem"].encode())) == 1
    assert (await answer("rotate", "--root", mesh=mesh))["step"] == "retiring"
    after = await answer("bundle", mesh=mesh)
    assert len(x509.load_pem_x509_certificates(after["pem"].encode())) == 2
    assert after["spiffe"]["spiffe_sequence"] == before["spiffe"]["spiffe_sequence"] + 1
    assert {key["use"] for key in after["spiffe"]["keys"]} == {"x509-svid", "jwt-svid"}
    plain = await run("bundle", state=mesh.layout.state)
    assert plain.stdout == after["pem"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["show", "nobody"], "nothing is known under 'nobody'"),
        (["revoke", "nobody"], "nothing that is still valid was issued under 'nobody'"),
        (["revoke", "missing.pem"], "cannot read missing.pem"),
        (["rotate", "nobody"], "no service is called 'nobody'"),
        (["rotate", "front", "--root"], "--root is about the authority"),
    ],
)
async def test_bad_input_is_one_line(mesh: Running, arguments: list[str], says: str) -> None:
    done = await run(*arguments, state=mesh.layout.state)
    assert done.returncode == 2
    assert done.stdout == ""
    assert says in done.stderr
    assert len(done.stderr.splitlines()) == 1


async def test_where_no_mesh_runs_every_command_says_so(tmp_path: Path) -> None:
    for name in ("list", "show front", "revoke front", "rotate", "bundle"):
        done = await run(*name.split(), state=tmp_path)
        assert done.returncode == 2
        assert "no mesh runs on the state directory" in done.stderr


async def test_the_register_and_all_keys_are_private(mesh: Running) -> None:
    state = mesh.layout.state
    for path in (state / "identity.jsonl", *(state / "ca").iterdir()):
        assert path.stat().st_mode & 0o077 == 0, path


async def test_watch_goes_on_when_the_control_plane_is_back(mesh: Running) -> None:
    process = await asyncio.create_subprocess_exec(
        *command("identity", "list", "--watch", "--json", "--state", str(mesh.layout.state)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(90):
            before = json.loads(await process.stdout.readline())
            os.kill(mesh.supervisor.pids[CONTROL_PLANE], signal.SIGKILL)
            after = before
            while len(after["certificates"]) <= len(before["certificates"]):  # all get fresh ones
                after = json.loads(await process.stdout.readline())
    finally:
        process.terminate()
        await process.wait()
