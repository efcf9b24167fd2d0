"""Runs a trial proxy, and asks it: one request or connection with a caller's certificate."""

import contextlib
import json
import socket
import ssl
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import httpx

from meshwarden.adapters.envoy.bootstrap import envoy_command
from meshwarden.kernel import DependencyError

START_S: Final = 60.0
ANSWER_S: Final = 20.0


@contextlib.contextmanager
def running_trial(
    folder: Path, bootstrap: Mapping[str, Any], sockets: list[Path]
) -> Iterator[None]:
    """Run Envoy with `bootstrap` while the context lasts; its files are in `folder`.

    Raises:
        DependencyError: `envoy.trial` where it does not come up; its last words are in the message.
    """
    file = folder / "envoy.json"
    file.write_text(json.dumps(bootstrap), encoding="utf-8")
    with (folder / "envoy.log").open("wb") as log:
        process = subprocess.Popen(
            [*envoy_command(file), "--use-dynamic-base-id"], stdout=log, stderr=log
        )
    try:
        for path in sockets:
            _wait_for(path, process, folder / "envoy.log")
        yield
    finally:
        process.terminate()
        try:
            process.wait(START_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_for(path: Path, process: "subprocess.Popen[bytes]", log: Path) -> None:
    for _ in range(int(START_S / 0.05)):
        with contextlib.suppress(OSError), _connected(path):
            return
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.05)
            break
    last = " ".join(log.read_text("utf-8", errors="replace")[-500:].split())
    raise DependencyError("envoy.trial", f"the trial proxy does not start: {last}")


def client_context(certificate: Path, key: Path, roots: Path) -> ssl.SSLContext:
    """Return a context that presents a caller's certificate and trusts `roots`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = False  # SVIDs carry no host names; the socket is our own
    context.load_verify_locations(roots)
    context.load_cert_chain(certificate, key)
    return context


def request_passes(path: Path, context: ssl.SSLContext, method: str, target: str) -> bool:
    """Return whether the request is let pass; DependencyError `envoy.trial` without an answer."""
    transport = httpx.HTTPTransport(uds=str(path), verify=context)
    try:
        with httpx.Client(transport=transport, timeout=ANSWER_S, trust_env=False) as client:
            status = client.request(method, f"https://callee{target}").status_code
    except httpx.HTTPError as error:
        raise DependencyError("envoy.trial", f"the trial proxy does not answer: {error}") from error
    if status not in {200, 403}:
        raise DependencyError("envoy.trial", f"the trial proxy answers with {status}")
    return status == 200


def connection_passes(path: Path, context: ssl.SSLContext) -> bool:
    """Return whether a connection is let pass: whether its octets come back."""
    try:
        with _connected(path) as raw, context.wrap_socket(raw) as connection:
            connection.sendall(b"x")
            return connection.recv(1) == b"x"
    except OSError:
        return False


@contextlib.contextmanager
def _connected(path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as end:
        end.settimeout(ANSWER_S)
        end.connect(str(path))
        yield end
