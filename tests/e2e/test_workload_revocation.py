"""One SVID that came by the Workload API is revoked, and its holder's namesake goes on."""

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from spiffe import WorkloadApiClient
from spiffe.workloadapi.errors import FetchJwtSvidError, ValidateJwtSvidError
from tests.e2e.small_mesh import DOMAIN, POLICY, SERVICES, Running, eventually, running_mesh
from tests.e2e.thief import REFUSED, Holder, holder_of
from tests.e2e.workload_support import in_thread

from meshwarden.cli import run

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(180),
    pytest.mark.asyncio(loop_scope="module"),
]
IDENTITY = f"{DOMAIN}/batch"


@dataclass(frozen=True, slots=True)
class Client:
    """A process with the third-party client, and what it was given so far."""

    directory: Path
    process: asyncio.subprocess.Process

    async def holder(self, number: int) -> Holder:
        """Return the one that holds the SVID that came as the `number`th."""
        path = self.directory / f"{number}.pem"
        await self.has(path.name)
        return holder_of(path)

    async def digests(self) -> set[str]:
        """Return the SHA-256 of all SVIDs that came; the same one comes again with a new list."""
        return {holder_of(path).sha256 for path in self.directory.glob("*.pem")}

    async def has(self, name: str) -> None:
        async def _is_there() -> bool:
            return (self.directory / name).exists()

        await eventually(_is_there, within_s=40, what=f"{name} of process {self.process.pid}")


@contextlib.asynccontextmanager
async def client_of(mesh: Running, directory: Path) -> AsyncIterator[Client]:
    await asyncio.to_thread(directory.mkdir, mode=0o700)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(SERVICES / "hold_identity.py"),
        str(directory),
        env={**os.environ, "SPIFFE_ENDPOINT_SOCKET": f"unix://{mesh.layout.workload_socket}"},
    )
    try:
        yield Client(directory, process)
    finally:
        process.kill()
        await process.wait()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def mesh(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Running]:
    policy = POLICY.replace("from: [front]\n", f"from: [front, '{IDENTITY}']\n")
    async with running_mesh(tmp_path_factory.mktemp("m"), policy=policy) as running:
        await running.settled()
        register = ["identity", "register", IDENTITY, "--uid", str(os.getuid())]
        command = [*register, "--state", str(running.layout.state)]
        assert await asyncio.to_thread(run, command) == 0
        yield running


def back(mesh: Running) -> tuple[str, int]:
    address = mesh.layout.address("back")
    return address.host, address.port


async def ask(mesh: Running, path: str, **body: object) -> dict[str, Any]:
    transport = httpx.AsyncHTTPTransport(uds=str(mesh.layout.api_socket))
    async with httpx.AsyncClient(transport=transport, timeout=40) as client:
        answer = await client.post(f"http://api/v1/identity/{path}", json=body)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_a_revoked_holder_is_refused_and_gets_another_while_its_namesake_goes_on(
    mesh: Running, tmp_path: Path
) -> None:
    async with client_of(mesh, tmp_path / "a") as one, client_of(mesh, tmp_path / "b") as other:
        stolen, clean = await one.holder(1), await other.holder(1)
        assert stolen.sha256 != clean.sha256
        async with stolen.line(*back(mesh)) as line, clean.line(*back(mesh)) as clean_line:
            assert await line.get() == await clean_line.get() == 200
            revoked = await ask(mesh, "revoke", target=stolen.sha256, reason="copied")
            assert [each["identity"] for each in revoked["certificates"]] == [IDENTITY]
            if revoked["pending"]:
                await mesh.settled()
            assert await line.get() == 403
            assert await stolen.get_anew(*back(mesh)) == REFUSED
            assert await clean_line.get() == await clean.get_anew(*back(mesh)) == 200
        fresh = await one.holder(2)
        assert await fresh.get_anew(*back(mesh)) == 200
        assert await other.digests() == {clean.sha256}
    rules = {row["rule"] for row in await mesh.rows(source_certificate=stolen.sha256, denied=True)}
    assert "containment:certificate" in rules


async def test_a_process_that_is_cut_off_gets_nothing_more_until_it_is_restored(
    mesh: Running, tmp_path: Path
) -> None:
    async with client_of(mesh, tmp_path / "a") as one, client_of(mesh, tmp_path / "b") as other:
        stolen, clean = await one.holder(1), await other.holder(1)
        revoked = await ask(mesh, "revoke", target=stolen.sha256, replace=False)
        [holder] = revoked["withheld"]
        assert f"/{one.process.pid}@" in holder
        await one.has("ended")
        assert "PERMISSION_DENIED" in (one.directory / "ended").read_text()
        assert await one.digests() == {stolen.sha256}
        assert await stolen.get_anew(*back(mesh)) == REFUSED
        assert await clean.get_anew(*back(mesh)) == 200
        assert await ask(mesh, "rotate", service=holder) == {"service": holder, "sha256": None}


async def test_all_that_name_an_identity_are_revoked_by_its_name(
    mesh: Running, tmp_path: Path
) -> None:
    async with client_of(mesh, tmp_path / "a") as one, client_of(mesh, tmp_path / "b") as other:
        held = [await one.holder(1), await other.holder(1)]
        revoked = await ask(mesh, "revoke", target=IDENTITY)
        digests = {each["sha256"] for each in revoked["certificates"]}
        assert {each.sha256 for each in held} <= digests
        for client, old in zip((one, other), held, strict=True):
            assert await old.get_anew(*back(mesh)) == REFUSED
            fresh = await client.holder(2)
            assert await fresh.get_anew(*back(mesh)) == 200


async def test_its_jwt_svids_end_with_an_identity_and_new_ones_hold(mesh: Running) -> None:
    client = await in_thread(WorkloadApiClient, f"unix://{mesh.layout.workload_socket}")
    try:
        tokens = list[str]()
        await eventually(partial(_gets_one, client, tokens), what="a JWT-SVID that counts")
        [old] = tokens
        await in_thread(client.fetch_x509_svid)  # so that something names the identity
        await ask(mesh, "revoke", target=IDENTITY)
        with pytest.raises(ValidateJwtSvidError):
            await in_thread(client.validate_jwt_svid, old, "ledger")
        await eventually(partial(_gets_one, client, tokens), what="another JWT-SVID that counts")
        with pytest.raises(ValidateJwtSvidError):
            await in_thread(client.validate_jwt_svid, old, "ledger")
    finally:
        await in_thread(client.close)


async def _gets_one(client: WorkloadApiClient, tokens: list[str]) -> bool:
    """Return whether a JWT-SVID came that is accepted: not within the second of a revocation."""
    with contextlib.suppress(FetchJwtSvidError):
        fresh = await in_thread(client.fetch_jwt_svid, {"ledger"})
        await in_thread(client.validate_jwt_svid, fresh.token, "ledger")
        tokens.append(fresh.token)
        return True
    return False
