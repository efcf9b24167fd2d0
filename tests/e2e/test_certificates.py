"""What we issue, judged by the verifiers that matter: OpenSSL, Python's TLS, and Envoy (BoringSSL).

The unit tests hold our own verification against the same forgeries.
"""

import ipaddress
import json
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from tests.unit.identity.forge import (
    LEDGER,
    Pair,
    forge,
    forge_ca,
    key_pem,
    make_authority,
    pem,
    serial,
    uri,
)

from meshwarden.adapters.envoy.bootstrap import find_envoy
from meshwarden.identity import issue_svid, renewal_time
from meshwarden.kernel import SpiffeId

pytestmark = pytest.mark.e2e

NOW = datetime.now(UTC).replace(microsecond=0)
HOUR = timedelta(hours=1)
START, END = NOW - timedelta(minutes=1), NOW + HOUR
AUTHORITY = make_authority(now=NOW)
ROOT = AUTHORITY.bundle.certificates[0]
ISSUER: Pair = (AUTHORITY.issuer, AUTHORITY.key)
REFUSALS = (ssl.SSLError, ConnectionError)
REQUEST = b"GET / HTTP/1.1\r\nhost: ledger\r\nconnection: close\r\n\r\n"
SERVER_TIMEOUT_S = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Presented:
    """What a peer presents: its chain in the order of TLS, and its key."""

    chain: tuple[x509.Certificate, ...]
    key: bytes


def present(pair: Pair, *above: x509.Certificate) -> Presented:
    return Presented(chain=(pair[0], *above), key=key_pem(pair[1]))


def ours(**more: object) -> Presented:
    pair = forge(ISSUER, **({"start": START, "end": END} | more))  # type: ignore[arg-type]
    return present(pair, AUTHORITY.issuer)


def issued(now: datetime = NOW, lifetime_s: int = 3600) -> Presented:
    svid = issue_svid(
        AUTHORITY, SpiffeId.parse(LEDGER), now=now, serial=serial(), lifetime_s=lifetime_s
    )
    chain = tuple(x509.load_pem_x509_certificates(svid.certificate_chain.encode()))
    return Presented(chain=chain, key=svid.private_key.reveal().encode())


def from_a_foreign_authority() -> Presented:
    other = make_authority("evil.example", now=NOW)
    return present(forge((other.issuer, other.key), start=START, end=END), other.issuer)


def from_an_authority_of_the_same_name() -> Presented:
    root = forge_ca(None, "root", start=START, end=END)
    common_name = AUTHORITY.issuer.subject.rfc4514_string().removeprefix("CN=")
    impostor = forge_ca(root, common_name, start=START, end=END)
    return present(forge(impostor, start=START, end=END), impostor[0])


def from_below_the_intermediate() -> Presented:
    below = forge_ca(ISSUER, "below", start=START, end=END)
    return present(forge(below, start=START, end=END), below[0], AUTHORITY.issuer)


def from_a_leaf() -> Presented:
    leaf = forge(ISSUER, subject="leaf", start=START, end=END)
    return present(forge(leaf, start=START, end=END), leaf[0], AUTHORITY.issuer)


ADDRESS = x509.IPAddress(ipaddress.ip_address("10.0.0.1"))
REFUSED: dict[str, Callable[[], Presented]] = {
    "foreign trust domain": lambda: ours(names=[uri("spiffe://evil.example/ledger")]),
    "subdomain": lambda: ours(names=[uri("spiffe://core.bank.example/ledger")]),
    "a DNS name besides": lambda: ours(names=[uri(LEDGER), x509.DNSName("www.bank.example")]),
    "an address besides": lambda: ours(names=[uri(LEDGER), ADDRESS]),
    "a mailbox besides": lambda: ours(names=[uri(LEDGER), x509.RFC822Name("a@bank.example")]),
    "expired": lambda: issued(now=NOW - HOUR, lifetime_s=60),
    "not yet valid": lambda: issued(now=NOW + HOUR),
    "foreign authority": from_a_foreign_authority,
    "authority of the same name": from_an_authority_of_the_same_name,
    "authority below the intermediate": from_below_the_intermediate,
    "signed by a leaf": from_a_leaf,
    "the intermediate itself": lambda: present(ISSUER),
    "no intermediate": lambda: present(forge(ISSUER, start=START, end=END)),
}


@pytest.fixture(params=REFUSED)
def refused(request: pytest.FixtureRequest) -> Presented:
    return REFUSED[request.param]()


def openssl_verify(directory: Path, presented: Presented, purpose: str) -> str:
    """Return "" where OpenSSL accepts, else what it said."""
    leaf, *above = presented.chain
    (directory / "root.pem").write_bytes(pem(ROOT))
    (directory / "above.pem").write_bytes(pem(*above))
    (directory / "leaf.pem").write_bytes(pem(leaf))
    untrusted = ["-untrusted", "above.pem"] if above else []
    done = subprocess.run(
        ["openssl", "verify", "-x509_strict", "-purpose", purpose, "-CAfile", "root.pem",  # noqa: S607  # whichever the machine has
         *untrusted, "leaf.pem"],
        cwd=directory, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return "" if done.returncode == 0 else done.stderr


needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="apt install openssl")


@needs_openssl
@pytest.mark.parametrize("purpose", ["sslclient", "sslserver"])
def test_openssl_accepts_what_we_issue(tmp_path: Path, purpose: str) -> None:
    assert openssl_verify(tmp_path, issued(), purpose) == ""


@needs_openssl
def test_openssl_refuses(tmp_path: Path, refused: Presented) -> None:
    assert "error" in openssl_verify(tmp_path, refused, "sslclient")


def tls(role: int, directory: Path, presented: Presented | None) -> ssl.SSLContext:
    """Return a TLS 1.3 context that trusts our root alone and demands a certificate."""
    context = ssl.SSLContext(role)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(cadata=pem(ROOT).decode())
    if presented:
        path = directory / f"{role}.pem"
        path.write_bytes(presented.key + pem(*presented.chain))
        context.load_cert_chain(path)
    return context


def shake_hands(directory: Path, *, server: Presented, client: Presented) -> tuple[str, str]:
    """Return what client and server saw of each other, or "refused"."""
    callee = tls(ssl.PROTOCOL_TLS_SERVER, directory, server)
    caller = tls(ssl.PROTOCOL_TLS_CLIENT, directory, client)
    one, other = socket.socketpair()
    seen = {}

    def serve() -> None:
        with one:
            one.settimeout(SERVER_TIMEOUT_S)
            try:
                with callee.wrap_socket(one, server_side=True) as wrapped:
                    seen["client"] = uri_of(wrapped)
                    wrapped.sendall(b"ok")
            except REFUSALS:
                seen["client"] = "refused"

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        with other, caller.wrap_socket(other) as wrapped:
            seen["server"] = uri_of(wrapped)
            wrapped.recv(2)
    except REFUSALS:
        seen.setdefault("server", "refused")
    finally:
        thread.join()
    return seen["server"], seen["client"]


def uri_of(wrapped: ssl.SSLSocket) -> str:
    names = (wrapped.getpeercert() or {}).get("subjectAltName", ())
    return ",".join(str(name[1]) for name in names if name[0] == "URI")


def test_two_workloads_prove_themselves_to_each_other(tmp_path: Path) -> None:
    client = ours(names=[uri("spiffe://bank.example/ns/core/sa/payments")])
    found = shake_hands(tmp_path, server=issued(), client=client)
    assert found == (LEDGER, "spiffe://bank.example/ns/core/sa/payments")


def test_python_refuses_the_client(tmp_path: Path, refused: Presented) -> None:
    assert shake_hands(tmp_path, server=issued(), client=refused)[1] == "refused"


def test_python_refuses_the_server(tmp_path: Path, refused: Presented) -> None:
    assert shake_hands(tmp_path, server=refused, client=issued())[0] == "refused"


def envoy_config(directory: Path) -> dict[str, object]:
    """Return a listener that answers `ok` to whoever has a certificate of our root."""
    api = "type.googleapis.com/envoy.extensions"
    own = issued()
    context = {
        "@type": f"{api}.transport_sockets.tls.v3.DownstreamTlsContext",
        "require_client_certificate": True,
        "common_tls_context": {
            "tls_params": {"tls_minimum_protocol_version": "TLSv1_3"},
            "tls_certificates": [
                {
                    "certificate_chain": {"inline_string": pem(*own.chain).decode()},
                    "private_key": {"inline_string": own.key.decode()},
                }
            ],
            "validation_context": {"trusted_ca": {"inline_string": pem(ROOT).decode()}},
        },
    }
    route = {"match": {"prefix": "/"}, "direct_response": {"status": 200}}
    manager = {
        "@type": f"{api}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "in",
        "route_config": {"virtual_hosts": [{"name": "v", "domains": ["*"], "routes": [route]}]},
        "http_filters": [
            {"name": "router", "typed_config": {"@type": f"{api}.filters.http.router.v3.Router"}}
        ],
    }
    chain = {
        "transport_socket": {"name": "tls", "typed_config": context},
        "filters": [{"name": "manager", "typed_config": manager}],
    }
    address = {"pipe": {"path": str(directory / "in.sock")}}
    listener = {"name": "in", "address": address, "filter_chains": [chain]}
    return {"static_resources": {"listeners": [listener]}}


@pytest.fixture(scope="module")
def envoy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A running Envoy; the socket where it listens."""
    directory = tmp_path_factory.mktemp("envoy")
    (directory / "envoy.json").write_text(json.dumps(envoy_config(directory)))
    command = [
        str(find_envoy()), "-c", str(directory / "envoy.json"), "--concurrency", "1",
        "--disable-hot-restart", "--log-level", "warning", "--log-path", str(directory / "log"),
    ]  # fmt: skip
    process = subprocess.Popen(command)
    try:
        deadline = time.monotonic() + 30
        while call_envoy(directory / "in.sock", directory, issued()) == "refused":
            assert process.poll() is None, (directory / "log").read_text()
            assert time.monotonic() < deadline, (directory / "log").read_text()
        yield directory / "in.sock"
    finally:
        process.terminate()
        process.wait()


def call_envoy(path: Path, directory: Path, presented: Presented | None) -> str:
    """Return Envoy's status line, or "refused"."""
    context = tls(ssl.PROTOCOL_TLS_CLIENT, directory, presented)
    try:
        with closing(socket.socket(socket.AF_UNIX)) as raw:
            raw.settimeout(SERVER_TIMEOUT_S)
            raw.connect(str(path))
            with context.wrap_socket(raw) as wrapped:
                wrapped.sendall(REQUEST)
                answer = wrapped.recv(4096)
    except (*REFUSALS, FileNotFoundError):
        return "refused"
    return answer.split(b"\r\n")[0].decode() or "refused"


@pytest.mark.parametrize("make", [issued, ours])
def test_envoy_accepts(envoy: Path, tmp_path: Path, make: Callable[[], Presented]) -> None:
    assert call_envoy(envoy, tmp_path, make()) == "HTTP/1.1 200 OK"


def test_envoy_refuses(envoy: Path, tmp_path: Path, refused: Presented) -> None:
    assert call_envoy(envoy, tmp_path, refused) == "refused"


def test_envoy_refuses_who_has_no_certificate(envoy: Path, tmp_path: Path) -> None:
    assert call_envoy(envoy, tmp_path, None) == "refused"


def test_a_renewed_svid_is_as_good_as_the_first(envoy: Path, tmp_path: Path) -> None:
    svid = issue_svid(AUTHORITY, SpiffeId.parse(LEDGER), now=NOW - HOUR / 2, serial=serial())
    assert renewal_time(svid, uniform=0.0) < NOW
    assert call_envoy(envoy, tmp_path, issued()) == "HTTP/1.1 200 OK"
