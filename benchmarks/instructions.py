"""How many processor instructions authorization costs Envoy for each request, counted by callgrind.

    python -m benchmarks.instructions [--requests N] [--forward] [--json]

A count hardly depends on what else the machine does, so that two trees can be told apart whose
throughput scatters more than they differ. It is no time: misses of caches and branches, and the
kernel, are not in it. Variants: no authorization; a filter that always allows (the least that any
policy costs); the compiled tree with 100, 1,000 and 10,000 rules, by kind of path as well.

One Envoy under valgrind holds a listener for each variant. As many requests as are counted go
before them, so that regular expressions have their automata; every variant is sent the same. By
default Envoy answers by itself; with `--forward` an application does.

Needs valgrind. Takes some minutes.
"""

import argparse
import json
import re
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from cryptography import x509

from benchmarks.client import Callers, issue_callers
from benchmarks.load import client_context, render_request
from benchmarks.proxy import Proxy, running_proxy
from benchmarks.workload import (
    CALLEE,
    CALLERS,
    TRUST_DOMAIN,
    always_allow,
    compiled_tree,
    draw_requests,
    make_grants,
)
from meshwarden.identity import create_authority, create_root, issue_svid
from meshwarden.kernel import ConfigError, MeshwardenError

BARE: Final = "no authorization"
ALLOW: Final = "an RBAC filter that always allows"
OURS: Final = "meshwarden, {:,} rules"
LARGEST: Final = max(CALLERS)
KINDS: Final = {"literal": r"/(summary|entries)$", "identifier": "/items$", "subtree": "/files/"}
CLIENTS: Final = 20
SEED: Final = 20261123
ANSWER: Final = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One listener, and the requests that it is sent: `rules` and the pattern of their paths."""

    filter: dict[str, Any] | None
    rules: int = LARGEST
    only: str = ""


def variants() -> dict[str, Variant]:
    """Return what is compared."""
    trees = {rules: compiled_tree(make_grants(rules)) for rules in CALLERS}
    found = {BARE: Variant(filter=None), ALLOW: Variant(filter=always_allow())}
    found |= {
        OURS.format(rules): Variant(filter=tree, rules=rules) for rules, tree in trees.items()
    }
    return found | {
        f"{OURS.format(LARGEST)}, {kind}": Variant(filter=trees[LARGEST], only=only)
        for kind, only in KINDS.items()
    }


def count(compared: Mapping[str, Variant], *, requests: int, forward: bool) -> dict[str, float]:
    """Return Envoy's instructions for each request, by variant.

    Raises:
        ConfigError: `benchmark.valgrind` where it is not installed.
        DependencyError: `benchmark.start`.
    """
    if shutil.which("valgrind") is None:
        raise ConfigError("benchmark.valgrind", "valgrind is not installed")
    with tempfile.TemporaryDirectory(prefix="meshwarden-bench-") as name, ExitStack() as stack:
        directory = Path(name)
        application = directory / "application.sock" if forward else None
        if application is not None:
            stack.enter_context(_answering(application))
        proxy, callers = stack.enter_context(_stage(directory, compared, application))
        return {
            variant: _count(proxy, proxy.ports[variant], callers, one, requests, directory)
            for variant, one in compared.items()
        }


@contextmanager
def _stage(
    directory: Path, compared: Mapping[str, Variant], application: Path | None
) -> Iterator[tuple[Proxy, Callers]]:
    now = datetime.now(UTC)
    root = create_root(TRUST_DOMAIN, now=now, serial=x509.random_serial_number())
    authority = create_authority(root, now=now, serial=x509.random_serial_number())
    identities = sorted({grant.caller for grant in make_grants(LARGEST)})
    valgrind = ["valgrind", "--tool=callgrind", "--instr-atstart=no", "--trace-children=yes"]
    valgrind.append(f"--callgrind-out-file={directory}/callgrind")
    with running_proxy(
        directory,
        filters={name: one.filter for name, one in compared.items()},
        application=application,
        authorizers={},
        authority=authority,
        svid=issue_svid(authority, CALLEE, now=now, serial=x509.random_serial_number()),
        core=0,
        under=valgrind,
    ) as proxy:
        yield proxy, issue_callers(authority, identities, directory, now=now)


def _count(
    proxy: Proxy, port: int, callers: Callers, variant: Variant, requests: int, directory: Path
) -> float:
    sent = list(_requests(variant))[:CLIENTS]
    with ExitStack() as stack:
        connections = [stack.enter_context(connected(port, callers, caller)) for caller, _ in sent]
        turns = requests // len(sent)
        _ask_all(connections, sent, range(turns))
        control(proxy, "instrumentation", "on")
        control(proxy, "zero")
        _ask_all(connections, sent, range(turns, 2 * turns))
        control(proxy, "dump")
        control(proxy, "instrumentation", "off")
    return counted(directory) / (turns * len(sent))


def _requests(variant: Variant) -> Iterator[tuple[str, list[bytes]]]:
    """Yield callers with their requests, those callers apart that stand side by side."""
    drawn = draw_requests(make_grants(variant.rules), seed=SEED)
    step = max(1, len(drawn) // CLIENTS)
    for caller in list(drawn)[::step]:
        own = [one for one in drawn[caller] if re.search(variant.only, one)]
        yield caller, [render_request(one) for one in own]


@contextmanager
def connected(port: int, callers: Callers, caller: str) -> Iterator[ssl.SSLSocket]:
    """Yield a caller's connection to a listener."""
    context = client_context(str(callers.files[caller]), callers.bundle)
    with (
        socket.create_connection(("127.0.0.1", port)) as raw,
        context.wrap_socket(raw) as connection,
    ):
        yield connection


def _ask_all(
    connections: Sequence[ssl.SSLSocket], sent: Sequence[tuple[str, list[bytes]]], turns: range
) -> None:
    for turn in turns:
        for connection, (_, own) in zip(connections, sent, strict=True):
            ask(connection, own[turn % len(own)])


def ask(connection: ssl.SSLSocket, request: bytes) -> None:
    """Send a request and wait for its answer, which has to be 200."""
    connection.sendall(request)
    answer = connection.recv(16384)
    if answer[9:12] != b"200":
        raise SystemExit(f"the proxy answered {answer[:200]!r} to {request!r}")


def control(proxy: Proxy, *command: str) -> None:
    """Tell callgrind what to do."""
    debugger = shutil.which("vgdb") or "vgdb"  # comes with valgrind
    subprocess.run([debugger, f"--pid={proxy.pid}", *command], check=True, capture_output=True)


def counted(directory: Path) -> int:
    """Return the instructions of the newest dump, and remove it."""
    total = 0
    for dump in directory.glob("callgrind.*"):
        found = re.search(r"^(?:totals|summary): (\d+)", dump.read_text(), re.MULTILINE)
        total += int(found[1]) if found else 0
        dump.unlink()
    return total


@contextmanager
def _answering(path: Path) -> Iterator[None]:
    """Answer every request that arrives on the socket `path`."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen(64)
        threading.Thread(target=_accept, args=[listener], daemon=True).start()
        yield


def _accept(listener: socket.socket) -> None:
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=_answer, args=[connection], daemon=True).start()


def _answer(connection: socket.socket) -> None:
    while received := connection.recv(65536):
        connection.sendall(ANSWER * received.count(b"\r\n\r\n"))


def render(counted: Mapping[str, float]) -> str:
    """Return the counts as a Markdown table, with what each adds to no authorization."""
    bare = next(iter(counted.values()))
    rows = [f"| {name} | {found:,.0f} | {found - bare:+,.0f} |" for name, found in counted.items()]
    head = ["| variant | instructions for each request | beside none |", "|---|---:|---:|"]
    return "\n".join([*head, *rows])


def main(arguments: Sequence[str] | None = None) -> int:
    """Count and print; return 0, or the exit code of what kept it from running."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.instructions")
    parser.add_argument("--requests", type=int, default=2000, help="of each variant")
    parser.add_argument("--forward", action="store_true", help="an application answers")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    try:
        counted = count(variants(), requests=options.requests, forward=options.forward)
    except MeshwardenError as error:
        print(f"benchmark: {error}", file=sys.stderr)
        return 2 if isinstance(error, ConfigError) else 3
    print(json.dumps(counted, indent=1) if options.json else render(counted))
    return 0


if __name__ == "__main__":
    sys.exit(main())
