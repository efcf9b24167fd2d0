"""The Workload API of a mesh that `up` runs: its services have their identities, others nothing."""

import asyncio
import os
import stat
import sys
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from spiffe import WorkloadApiClient
from spiffe.workloadapi.errors import FetchX509SvidError
from tests.e2e.small_mesh import SERVICES, Running, eventually
from tests.e2e.workload_support import in_thread

from meshwarden.adapters.storage.findings import FileFindingStore
from meshwarden.adapters.yaml import load_document
from meshwarden.cli import run
from meshwarden.control.layout import layout_of
from meshwarden.control.mesh import parse_mesh
from meshwarden.control.supervision import Supervisor
from meshwarden.control.supervision.wiring import wire
from meshwarden.policy import parse_policy

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]
POLICY = """\
apiVersion: meshwarden.dev/v1
trust_domain: test.example
services:
  one: {identity: spiffe://test.example/one}
  two: {identity: spiffe://test.example/two}
"""
MESH = f"""\
apiVersion: meshwarden.dev/v1
policy: access.yaml
services:
  one: {{command: ["{sys.executable}", "{SERVICES}/show_identity.py"]}}
  two: {{command: ["{sys.executable}", "{SERVICES}/show_identity.py"]}}
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def mesh(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Running]:
    directory = tmp_path_factory.mktemp("w")
    (directory / "access.yaml").write_text(POLICY)
    mesh_file = directory / "mesh.yaml"
    mesh_file.write_text(MESH)
    parsed = parse_mesh(load_document(mesh_file), directory)
    policy = parse_policy(load_document(parsed.policy_path))
    layout = layout_of(parsed, directory / "s")
    lines: list[str] = []
    supervisor = Supervisor(
        parsed,
        layout,
        wire(mesh_file, parsed, policy, layout),
        environment=os.environ,
        on_line=lambda name, line: lines.append(f"{name} | {line}"),
    )
    async with supervisor:
        yield Running(
            directory=directory, mesh=parsed, layout=layout, supervisor=supervisor, lines=lines
        )


async def test_each_service_has_its_own_identity_and_no_other(mesh: Running) -> None:
    async def _told() -> bool:
        return all(
            f"{name} | identity ['spiffe://test.example/{name}']" in mesh.lines
            for name in ("one", "two")
        )

    await eventually(_told, what=f"both identities in {mesh.lines}")


async def test_a_process_that_the_mesh_did_not_start_gets_nothing_until_it_is_registered(
    mesh: Running,
) -> None:
    address = f"unix://{mesh.layout.workload_socket}"
    client = await in_thread(WorkloadApiClient, address)
    with pytest.raises(FetchX509SvidError, match="no identity issued"):
        await in_thread(client.fetch_x509_svid)
    found = FileFindingStore(mesh.layout.findings).load_findings()
    [finding] = [one for one in found if one.code == "identity.workload_refused"]
    assert (finding.subject, str(os.getpid()) in finding.sentence) == (f"uid:{os.getuid()}", True)

    state = ["--state", str(mesh.layout.state)]
    identity = "spiffe://test.example/batch"
    register = ["identity", "register", identity, "--uid", str(os.getuid()), *state]
    assert await asyncio.to_thread(run, register) == 0
    svid = await in_thread(client.fetch_x509_svid)
    assert str(svid.spiffe_id) == identity
    assert await asyncio.to_thread(run, ["identity", "unregister", identity, *state]) == 0
    with pytest.raises(FetchX509SvidError, match="no identity issued"):
        await in_thread(client.fetch_x509_svid)
    await in_thread(client.close)


async def test_an_identity_of_another_trust_domain_is_not_registered(mesh: Running) -> None:
    state = ["--state", str(mesh.layout.state)]
    command = ["identity", "register", "spiffe://other.example/x", "--uid", "1", *state]
    assert await asyncio.to_thread(run, command) == 2


async def test_keys_are_readable_by_their_owner_alone(mesh: Running) -> None:
    for path in (mesh.layout.jwt_keys, mesh.layout.authority_dir / "intermediate.pem"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
