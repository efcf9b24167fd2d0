"""The admission webhook: a real Envoy, real HTTPS, the answers of the command.

There is no cluster here: what an API server would post, a client posts.
"""

import asyncio
import contextlib
import json
import socket
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography import x509

from meshwarden.adapters.manifests import parse_documents
from meshwarden.adapters.rego import SHIPPED
from meshwarden.policy.gate.model import Document, Family, Subject
from meshwarden.policy.gate.subjects import subjects_of

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]
NAME = "gate.warden.svc"
MESHWARDEN = Path(sys.executable).with_name("meshwarden")
CONFIG = """apiVersion: meshwarden.dev/v1
allowed_hosts: [api.partner.example]
admission:
  default: warn
  namespaces: {core: enforce, legacy: exempt}
"""
BAD: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "shell"},
    "spec": {"containers": [{"name": "a", "image": "a", "securityContext": {"privileged": True}}]},
}


@dataclass(frozen=True, slots=True)
class Webhook:
    client: httpx.AsyncClient
    port: int
    state: Path
    config: Path

    async def post(self, content: bytes) -> httpx.Response:
        return await self.client.post(f"https://127.0.0.1:{self.port}/validate", content=content)

    async def ask(self, value: Any, namespace: str, operation: str = "CREATE") -> dict[str, Any]:
        request = {"uid": "u-1", "operation": operation, "namespace": namespace, "object": value}
        review = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview"}
        answer = await self.post(json.dumps({**review, "request": request}).encode())
        assert answer.status_code == 200, answer.text
        document = answer.json()
        assert document["kind"] == "AdmissionReview"
        assert document["response"]["uid"] == "u-1"
        return dict(document["response"])


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Named(httpx.AsyncHTTPTransport):
    """Sends the service's name in the handshake and verifies the certificate against it."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        request.extensions["sni_hostname"] = NAME
        return await super().handle_async_request(request)


@contextlib.asynccontextmanager
async def running(folder: Path) -> AsyncIterator[Webhook]:
    config, port = folder / "gate.yaml", free_port()
    config.write_text(CONFIG)
    options = ["--name", NAME, "--listen", f"127.0.0.1:{port}", "--config", str(config)]
    process = await asyncio.create_subprocess_exec(
        MESHWARDEN, "admission", "--state", str(folder), *options,
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stderr is not None
    log = ""
    try:
        while "admission_started" not in log:
            line = await process.stderr.readline()
            assert line, log
            log += line.decode()
        drain = asyncio.create_task(process.stderr.read())
        trust = ssl.create_default_context(cafile=str(folder / "admission" / "webhook-ca.pem"))
        async with httpx.AsyncClient(
            transport=Named(verify=trust, retries=20), timeout=60
        ) as client:
            webhook = Webhook(client, port, folder, config)
            await until_healthy(webhook)
            yield webhook
        process.terminate()
        await drain
        assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def until_healthy(webhook: Webhook) -> None:
    async with asyncio.timeout(120):
        while True:
            with contextlib.suppress(httpx.TransportError):
                answer = await webhook.client.get(f"https://127.0.0.1:{webhook.port}/healthz")
                if answer.status_code == 200:
                    return
            await asyncio.sleep(0.2)


def by_command(webhook: Webhook, value: Any) -> set[str]:
    path = webhook.state / "object.json"
    path.write_text(json.dumps(value))
    command = [str(MESHWARDEN), "gate", "--json", "--config", str(webhook.config), str(path)]
    done = subprocess.run(command, capture_output=True, check=False)
    found = json.loads(done.stdout)
    assert found["problems"] == []
    return {
        f"{one['severity']}: {one['message']} [{one['rule']}]"[:120] for one in found["findings"]
    }


async def test_reviews_are_answered_as_the_command_answers(tmp_path: Path) -> None:
    async with running(tmp_path) as webhook:
        refused = await webhook.ask(BAD, "core")
        assert refused["allowed"] is False
        assert "container a is privileged [workload/privileged]" in refused["status"]["message"]
        warned = await webhook.ask(BAD, "other")
        assert warned["allowed"] is True
        assert warned["warnings"] == refused["warnings"]
        placed = {**BAD, "metadata": {"name": "shell", "namespace": "core"}}
        assert set(refused["warnings"]) == await asyncio.to_thread(by_command, webhook, placed)
        assert await webhook.ask(BAD, "legacy") == {"uid": "u-1", "allowed": True}
        assert await webhook.ask(BAD, "warden") == {"uid": "u-1", "allowed": True}
        assert await webhook.ask(None, "core", "DELETE") == {"uid": "u-1", "allowed": True}
        config_map = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}}
        assert await webhook.ask(config_map, "core") == {"uid": "u-1", "allowed": True}
        slip = {"apiVersion": "apps/v1", "kind": "Deploymnet", "metadata": {"name": "a"}}
        assert (await webhook.ask(slip, "core"))["allowed"] is False


async def test_every_example_of_the_rules_is_answered_as_by_the_command(tmp_path: Path) -> None:
    examples = [
        one.value
        for path in sorted(SHIPPED.rglob("fires.yaml"))
        for document in parse_documents(path.read_bytes(), str(path))
        if isinstance(document, Document)
        for one in subjects_of(document)
        if isinstance(one, Subject) and one.family is Family.KUBERNETES
    ]
    async with running(tmp_path) as webhook:
        for value in examples[::6]:
            answer = await webhook.ask(value, "")
            expected = await asyncio.to_thread(by_command, webhook, value)
            assert set(answer.get("warnings", [])) == expected, value


@pytest.mark.parametrize("case", ["text", "array", "version", "uid", "object", "deep", "huge"])
async def test_a_malformed_review_is_refused(tmp_path: Path, case: str) -> None:
    head = '{"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": '
    raw = {
        "text": b"hello",
        "array": b"[]",
        "version": b'{"apiVersion": "admission.k8s.io/v1beta1", "kind": "AdmissionReview"}',
        "uid": f'{head}{{"operation": "CREATE", "object": {{}}}}}}'.encode(),
        "object": f'{head}{{"uid": "u", "operation": "CREATE", "object": 3}}}}'.encode(),
        "deep": b"[" * 100_000,
        "huge": b'"' + b"x" * (5 << 20) + b'"',
    }[case]
    async with running(tmp_path) as webhook:
        answer = await webhook.post(raw)
        assert answer.status_code == 400
        assert answer.json()["title"] in {"admission.malformed", "admission.too_large"}
        assert (await webhook.ask(BAD, "core"))["allowed"] is False


async def test_the_authority_is_found_again_and_the_certificate_is_new(tmp_path: Path) -> None:
    pem, leaves = tmp_path / "admission" / "webhook-ca.pem", []
    for _ in range(2):
        async with running(tmp_path):
            secret = json.loads((tmp_path / "admission" / "webhook-secret.json").read_text())
            [one] = secret["resources"]
            chain = one["tls_certificate"]["certificate_chain"]["inline_string"]
            leaves.append(x509.load_pem_x509_certificate(chain.encode()).serial_number)
            leaves.append(x509.load_pem_x509_certificate(pem.read_bytes()).serial_number)
    assert leaves[0] != leaves[2]
    assert leaves[1] == leaves[3]
    assert pem.stat().st_mode & 0o777 == 0o600
    hook = json.loads((tmp_path / "admission" / "webhook.json").read_text())["webhooks"][0]
    assert hook["failurePolicy"] == "Fail"
    assert "warden" in hook["namespaceSelector"]["matchExpressions"][0]["values"]
