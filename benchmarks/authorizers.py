"""The remote authorizers: a Python one that does nothing, and OPA's Envoy plugin.

Each listens on a Unix socket; both are compared with what the proxy decides by itself.
"""

import json
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.client import REPOSITORY
from benchmarks.process import running, wait_for
from benchmarks.workload import REGO, Grant, rego_data
from meshwarden.kernel import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteAuthorizer:
    """A running authorizer: where it listens, and its process."""

    socket: Path
    pid: int


@contextmanager
def python_authorizer(directory: Path, *, core: int) -> Iterator[RemoteAuthorizer]:
    """Run the one that allows everything."""
    socket, log = directory / "python.sock", directory / "python.log"
    command = [sys.executable, "-m", "benchmarks.authorizer", str(socket)]
    with running(command, core=core, log=log, directory=REPOSITORY) as process:
        wait_for(socket.exists, process, what="the Python authorizer", log=log)
        yield RemoteAuthorizer(socket=socket, pid=process.pid)


@contextmanager
def opa_authorizer(
    directory: Path, grants: list[Grant], *, core: int
) -> Iterator[RemoteAuthorizer]:
    """Run OPA with the rules; ConfigError `benchmark.opa` where its binary is missing.

    DependencyError `benchmark.start` where `opa` is there and never serves, as the build without
    the Envoy plugin does not.
    """
    binary = shutil.which("opa")
    if binary is None:
        raise ConfigError("benchmark.opa", "no opa (the opa-envoy-plugin build) on the PATH")
    socket, log = directory / "opa.sock", directory / "opa.log"
    (directory / "policy.rego").write_text(REGO)
    (directory / "data.json").write_text(json.dumps(rego_data(grants)))
    settings = {
        "plugins.envoy_ext_authz_grpc.addr": f"unix://{socket}",
        "plugins.envoy_ext_authz_grpc.path": "envoy/authz/allow",
        "plugins.envoy_ext_authz_grpc.skip-request-body-parse": "true",
    }
    command = [binary, "run", "--server", "--addr", "127.0.0.1:0", "--log-level", "error"]
    command += [part for name, value in settings.items() for part in ("--set", f"{name}={value}")]
    command += [str(directory / "policy.rego"), str(directory / "data.json")]
    with running(command, core=core, log=log) as process:
        wait_for(socket.exists, process, what="opa with its Envoy plugin", log=log)
        yield RemoteAuthorizer(socket=socket, pid=process.pid)
