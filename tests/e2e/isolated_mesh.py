"""An isolated mesh with a shell in one of its services, and a world outside that it may not reach.

`Isolated.shell` runs a command as the compromised service itself: its user, its network, its view.
"""

import contextlib
import http.server
import json
import shlex
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.e2e.mesh_process import command

SERVICES = Path(__file__).parent / "services"
WITHIN_S = 60
DOMAIN = "spiffe://test.example"
POLICY = f"""\
apiVersion: meshwarden.dev/v1
trust_domain: test.example
services:
  shell:
    identity: {DOMAIN}/shell
    egress:
      - {{host: plain.example, port: 80}}
      - {{host: listed.example, port: 443}}
  back:
    identity: {DOMAIN}/back
    edge: true
    accepts:
      - {{from: [shell], methods: [GET], paths: [/v1/ping]}}
  web:
    identity: {DOMAIN}/web
    accepts:
      - {{from: [shell], methods: [GET]}}
  store:
    identity: {DOMAIN}/store
    accepts:
      - {{from: [shell], tcp: 5432}}
      - {{from: [back], tcp: 5433}}
  stranger:
    identity: {DOMAIN}/stranger
"""
MESH = """\
apiVersion: meshwarden.dev/v1
policy: access.yaml
services:
  shell:
    command: ["{python}", -I, -S, "{services}/shell.py"]
    socket: true
    limits: {{memory_mb: 256, pids: 64}}
  back: {{command: ["{python}", -I, -S, "{services}/echo.py"], socket: true, edge: {edge}}}
  web: {{command: ["{python}", -I, -m, http.server, --bind, 127.0.0.1, "{web}"], port: {web}}}
  store: {{command: ["{python}", -I, -S, "{services}/echo_tcp.py"], socket: true}}
  stranger: {{command: ["{python}", -I, -S, "{services}/echo.py"], socket: true}}
outside:
  plain.example: "127.0.0.1:{plain}"
  listed.example: "127.0.0.1:{tls}"
"""


@dataclass(kw_only=True)
class Isolated:
    """A running isolated mesh."""

    process: subprocess.Popen[str]
    state: Path
    summary: dict[str, Any]
    edge: int
    host_port: int

    def pid(self, name: str) -> int:
        """Return the process of a service, or `<service>.sidecar`."""
        service, _, sidecar = name.partition(".")
        [found] = [each for each in self.summary["services"] if each["name"] == service]
        number: int = found["sidecar_pid" if sidecar else "pid"]
        return number

    def host(self, name: str) -> str:
        """Return the address of a service."""
        [found] = [each for each in self.summary["services"] if each["name"] == name]
        return str(found["sidecar"]).rpartition(":")[0]

    def shell(self, line: str) -> tuple[int, str]:
        """Return the exit status and the output of a shell command run by the service `shell`."""
        with socket.socket(socket.AF_UNIX) as end:
            end.settimeout(WITHIN_S)
            end.connect(str(self.state / "run/shell/app/app.sock"))
            end.sendall(json.dumps(line).encode() + b"\n")
            with end.makefile() as lines:
                status, said = json.loads(lines.readline())
        return status, said

    def python(self, script: str) -> tuple[int, str]:
        """Return the exit status and the output of a Python script run by the service `shell`."""
        return self.shell(f"exec {shlex.quote(sys.executable)} -I -S -c {shlex.quote(script)}")


@contextlib.contextmanager
def isolated_mesh(*, more: str = "", files: Mapping[str, str] | None = None) -> Iterator[Isolated]:
    """Run the mesh while the context lasts; `more` is added to its file, `files` beside it."""
    with tempfile.TemporaryDirectory(prefix="mw-") as folder, outside_hosts(Path(folder)) as world:
        directory = Path(folder) / "mesh"
        directory.mkdir(mode=0o755)
        (directory / "access.yaml").write_text(POLICY)
        edge, web = free_ports(2)
        text = MESH.format(python=sys.executable, services=SERVICES, edge=edge, web=web, **world)
        (directory / "mesh.yaml").write_text(text + more)
        for name, content in (files or {}).items():
            (directory / name).write_text(content)
        state = directory / "s"
        with running(directory / "mesh.yaml", state) as (process, summary):
            yield Isolated(
                process=process,
                state=state,
                summary=summary,
                edge=edge,
                host_port=world["plain"],
            )


@contextlib.contextmanager
def running(
    mesh_file: Path, state: Path, *options: str
) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    """Run `meshwarden up --json`; yield once all is healthy."""
    log = mesh_file.parent / "up.log"
    with log.open("w") as said:
        process = subprocess.Popen(
            command("up", str(mesh_file), "--state", str(state), "--json", *options),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=said,
            text=True,
        )
    assert process.stdout
    try:
        line = process.stdout.readline()
        assert line, log.read_text()[-3000:]
        yield process, json.loads(line)
    finally:
        process.stdout.close()
        process.send_signal(signal.SIGTERM)
        process.wait(WITHIN_S)


@contextlib.contextmanager
def outside_hosts(folder: Path) -> Iterator[dict[str, int]]:
    """Run two outside hosts on this machine's loopback: one in the clear, one with TLS."""
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",  # noqa: S607
         "-nodes", "-days", "2", "-subj", "/CN=listed.example", "-keyout", key, "-out",
         certificate],
        check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with serving(None) as plain, serving(context) as tls:
        yield {"plain": plain, "tls": tls}


@contextlib.contextmanager
def serving(context: ssl.SSLContext | None) -> Iterator[int]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = b"from outside\n"
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    if context:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        ends = [stack.enter_context(socket.socket()) for _ in range(count)]
        for end in ends:
            end.bind(("127.0.0.1", 0))
        return [end.getsockname()[1] for end in ends]
