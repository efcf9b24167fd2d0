"""The token service of an isolated mesh: reached through sidecars alone; needs root."""

import json
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.identity_provider import AUDIENCE
from tests.e2e.isolated_mesh import (
    MESH,
    POLICY,
    SERVICES,
    Isolated,
    free_ports,
    outside_hosts,
    running,
)
from tests.e2e.token_mesh import ACCESS, GRANT, TXN

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(180),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can isolate"),
]
TOKEN_SERVICE = """\
  token-service:
    identity: spiffe://test.example/token-service
    accepts:
      - {from: [shell], methods: [POST], paths: [/token]}
"""
TOKENS = f"""\
apiVersion: meshwarden.dev/v1
issuer: https://token-service.test.example
issuers:
  - {{issuer: "http://127.0.0.1:9", audience: "{AUDIENCE}"}}
scopes:
  items:read: {{}}
clients:
  shell: {{scopes: [items:read], exchange: true}}
"""
SCRIPT = """
import urllib.error, urllib.parse, urllib.request
data = urllib.parse.urlencode({fields!r}).encode()
try:
    urllib.request.urlopen("http://token-service/token", data, timeout=20)
except urllib.error.HTTPError as error:
    print(error.code, error.read().decode())
"""


@pytest.fixture(scope="module")
def mesh() -> Iterator[Isolated]:
    with tempfile.TemporaryDirectory(prefix="mw-") as folder, outside_hosts(Path(folder)) as world:
        directory = Path(folder) / "mesh"
        directory.mkdir(mode=0o755)
        (directory / "access.yaml").write_text(POLICY + TOKEN_SERVICE)
        (directory / "tokens.yaml").write_text(TOKENS)
        edge, web = free_ports(2)
        text = MESH.format(python=sys.executable, services=SERVICES, edge=edge, web=web, **world)
        (directory / "mesh.yaml").write_text(text + "tokens: {policy: tokens.yaml}\n")
        state = directory / "s"
        with running(directory / "mesh.yaml", state) as (process, summary):
            yield Isolated(
                process=process, state=state, summary=summary, edge=edge, host_port=world["plain"]
            )


def test_a_service_asks_through_its_sidecar_and_is_known_by_its_certificate(mesh: Isolated) -> None:
    fields = {
        "grant_type": GRANT, "requested_token_type": TXN, "audience": "test.example",
        "scope": "items:read", "subject_token": "a.b.c", "subject_token_type": ACCESS,
    }  # fmt: skip
    status, said = mesh.python(SCRIPT.format(fields=fields))
    assert status == 0, said
    code, _, body = said.strip().partition(" ")
    assert (code, json.loads(body)["error"]) == ("400", "invalid_request")
    assert "subject_token is refused" in body


def test_a_service_reaches_neither_the_socket_nor_the_keys_of_the_token_service(
    mesh: Isolated,
) -> None:
    for path in ("run/token-service/app/app.sock", "tokens/tokens.sqlite"):
        assert (mesh.state / path).exists()
        status, _ = mesh.shell(f"ls {mesh.state / path}")
        assert status != 0
