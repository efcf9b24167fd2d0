"""Two real sidecars, a gateway's and a ledger's, with our access logs, and clients for them."""

import asyncio
import contextlib
import datetime as dt
import json
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from envoy.config.accesslog.v3.accesslog_pb2 import AccessLog
from google.protobuf.json_format import MessageToDict

from meshwarden.adapters.envoy import accesslog
from meshwarden.adapters.envoy.accesslog_reopen import reopen_logs
from meshwarden.adapters.envoy.bootstrap import find_envoy
from meshwarden.control.recording import LogSource

ENVOY = find_envoy()
GATEWAY = "spiffe://bank.example/ns/edge/sa/gateway"
LEDGER = "spiffe://bank.example/ns/core/sa/ledger"
TYPES = "type.googleapis.com/envoy."
EXTENSIONS = TYPES + "extensions."
RULE = "ledger.accepts[0]"
TCP_RULE = "ledger.accepts[1]"


async def until(condition: Callable[[], bool], *, within_s: float = 20) -> None:
    """Wait for `condition`; fail when it does not come true."""
    async with asyncio.timeout(within_s):
        while not condition():
            await asyncio.sleep(0.01)


class Authority:
    """A certificate authority; certificates and keys are files in `folder`."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder, self._name = folder, name
        self._key = ec.generate_private_key(ec.SECP256R1())
        certificate = (
            self._builder(name, self._key.public_key(), dt.timedelta())
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self.certificate = folder / f"{name}.pem"
        self.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def issue(self, name: str, identity: str, *, ago: dt.timedelta = dt.timedelta()) -> Path:
        """Return the certificate's file (its key beside it, `.key`), valid for an hour."""
        key = ec.generate_private_key(ec.SECP256R1())
        uri = x509.UniformResourceIdentifier(identity)
        certificate = (
            self._builder(name, key.public_key(), ago)
            .add_extension(x509.SubjectAlternativeName([uri]), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        path = self._folder / f"{name}.pem"
        path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        path.with_suffix(".key").write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return path

    def _builder(
        self, name: str, key: ec.EllipticCurvePublicKey, ago: dt.timedelta
    ) -> x509.CertificateBuilder:
        begin = dt.datetime.now(dt.UTC) - dt.timedelta(minutes=1) - ago
        return (
            x509.CertificateBuilder()
            .subject_name(_common_name(name))
            .issuer_name(_common_name(self._name))
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(begin)
            .not_valid_after(begin + dt.timedelta(hours=1))
        )


@dataclass(slots=True)
class Sidecar:
    """One Envoy on a static configuration."""

    name: str
    folder: Path
    config: dict[str, Any]
    process: asyncio.subprocess.Process | None = None

    @property
    def log(self) -> Path:
        return self.folder / "access.log"

    @property
    def admin(self) -> Path:
        return self.folder / "admin.sock"

    def source(self, owner: str) -> LogSource:
        return LogSource(
            name=self.name, owner=owner, path=self.log, reopen=lambda: reopen_logs(self.admin)
        )

    async def start(self) -> None:
        self.admin.unlink(missing_ok=True)
        config = self.config | {"admin": {"address": {"pipe": {"path": str(self.admin)}}}}
        (self.folder / "envoy.json").write_text(json.dumps(config))
        self.process = await asyncio.create_subprocess_exec(
            ENVOY, "-c", str(self.folder / "envoy.json"), "--use-dynamic-base-id",
            "--concurrency", "1", "-l", "error", *accesslog.ENVOY_LOG_FLAGS,
        )  # fmt: skip
        async with asyncio.timeout(60):
            while not await self._ready():
                await asyncio.sleep(0.02)

    async def _ready(self) -> bool:
        try:
            reader, writer = await asyncio.open_unix_connection(self.admin)
        except OSError:
            return False
        writer.write(b"GET /ready HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
        answer = await reader.read(65536)
        writer.close()
        return b" 200 " in answer[:20]

    async def kill(self) -> None:
        if self.process and self.process.returncode is None:
            self.process.kill()
            await self.process.wait()


@dataclass(frozen=True, slots=True)
class Pair:
    """The sidecars, the ports to reach them, and the certificates to try."""

    folder: Path
    gateway: Sidecar
    ledger: Sidecar
    outbound: int
    outbound_tcp: int
    inbound: int
    inbound_tcp: int
    certificates: dict[str, Path]

    async def get(
        self, path: str, host: str = "ledger", headers: str = "", requests: int = 1
    ) -> list[int]:
        """Send requests of the gateway's service on one connection; return the statuses."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.outbound)
        found = []
        for _ in range(requests):
            writer.write(f"GET {path} HTTP/1.1\r\nhost: {host}\r\n{headers}\r\n".encode())
            found.append(await _status(reader))
        writer.close()
        await writer.wait_closed()
        return found

    async def knock(
        self, certificate: str | None, data: bytes, *, port: int | None = None
    ) -> bytes:
        """Send `data` over TLS straight to the ledger's sidecar; b"" where it is refused."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        if certificate:
            path = self.certificates[certificate]
            context.load_cert_chain(path, path.with_suffix(".key"))
        with contextlib.suppress(OSError, ssl.SSLError):
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", port or self.inbound, ssl=context
            )
            writer.write(data)
            answer = await reader.read(4096)
            writer.close()
            return answer
        return b""

    async def claim(self, certificate: str, *, port: int) -> None:
        """Send a certificate, but not the proof that we hold its key, and go away."""
        relay: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        async def pass_first_record(
            reader: asyncio.StreamReader, writer: asyncio.StreamWriter
        ) -> None:
            up_reader, up_writer = await asyncio.open_connection("127.0.0.1", port)
            up_writer.write(await reader.read(65536))
            writer.write(await up_reader.read(65536))
            flight = b""
            while len(_records(flight)) < 2:  # change of cipher, certificate
                flight += await reader.read(65536)
            up_writer.write(b"".join(_records(flight)[:2]))
            await up_writer.drain()
            up_writer.close()
            await up_writer.wait_closed()
            writer.close()
            relay.set_result(None)

        server = await asyncio.start_server(pass_first_record, "127.0.0.1", 0)
        here = server.sockets[0].getsockname()[1]
        await self.knock(certificate, b"x", port=here)
        await relay
        server.close()


@contextlib.asynccontextmanager
async def running_pair(folder: Path) -> AsyncIterator[Pair]:
    """Start both sidecars; kill them at the end."""
    bank, foreign = Authority(folder, "bank"), Authority(folder, "foreign")
    certificates = {
        "gateway": bank.issue("gateway", GATEWAY),
        "ledger": bank.issue("ledger", LEDGER),
        "foreign": foreign.issue("foreign-ledger", LEDGER),
        "expired": bank.issue("expired", GATEWAY, ago=dt.timedelta(hours=3)),
    }
    ports = _free_ports(4)
    folders = [folder / "gateway", folder / "ledger"]
    for each in folders:
        each.mkdir()
    ledger = Sidecar("ledger", folders[1], _ledger_config(folders[1], certificates, bank, ports))
    gateway = Sidecar("gateway", folders[0], _gateway_config(folders[0], certificates, bank, ports))
    try:
        await asyncio.gather(ledger.start(), gateway.start())
        yield Pair(folder, gateway, ledger, ports[0], ports[1], ports[2], ports[3], certificates)
    finally:
        await asyncio.gather(ledger.kill(), gateway.kill())


def reset(port: int) -> None:
    """Connect and reset at once."""
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


async def exchange(port: int, data: bytes) -> bytes:
    """Send `data` in the clear; return the first answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(data)
    answer = b""
    with contextlib.suppress(ConnectionError):
        answer = await reader.read(4096)
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()
    return answer


async def together(count: int, work: Callable[[], Awaitable[list[int]]]) -> list[int]:
    """Run `work` `count` times at once; return all statuses."""
    return [
        each for found in await asyncio.gather(*(work() for _ in range(count))) for each in found
    ]


def _ledger_config(
    folder: Path, certificates: dict[str, Path], bank: Authority, ports: list[int]
) -> dict[str, Any]:
    log = str(folder / "access.log")
    echo = {"pipe": {"path": str(folder / "echo.sock")}}
    tls = _tls("Downstream", certificates["ledger"], bank, require_client_certificate=True)
    rbac = {"stat_prefix": "r", "matcher": _callers({GATEWAY: _action("ALLOW", TCP_RULE)})}
    manager = _manager(
        accesslog.inbound_http(log),
        _route({"direct_response": {"status": 200, "body": {"inline_string": "ok"}}}),
        _extension(
            "filters.http.rbac.v3.RBAC",
            matcher=_callers({GATEWAY: _paths({"/v1/": _action("ALLOW", RULE)})}),
        ),
    )
    return {
        "static_resources": {
            "listeners": [
                _listener(ports[2], [manager], tls)
                | {"access_log": [_message(accesslog.refused_handshakes(log))]},
                _listener(
                    ports[3],
                    [
                        _extension(
                            "filters.network.rbac.v3.RBAC",
                            **rbac,
                            shadow_matcher=rbac["matcher"],
                        ),
                        _tcp("echo", accesslog.inbound_tcp(log, port=5432)),
                    ],
                    tls,
                ),
                {
                    "name": "echo",
                    "address": echo,
                    "filter_chains": [{"filters": [_extension("filters.network.echo.v3.Echo")]}],
                },
            ],
            "clusters": [_cluster("echo", echo)],
        }
    }


def _gateway_config(
    folder: Path, certificates: dict[str, Path], bank: Authority, ports: list[int]
) -> dict[str, Any]:
    log = str(folder / "access.log")
    tls = _tls("Upstream", certificates["gateway"], bank)
    ledger = _route({"route": {"cluster": "ledger"}}) | {"domains": ["ledger"], "name": "ledger"}
    ledger["request_headers_to_add"] = [_message(accesslog.call_header())]
    ledger["routes"][0]["metadata"] = _message(accesslog.route_metadata(LEDGER))
    refuse = _route({"direct_response": {"status": 403}})
    refuse["routes"][0]["metadata"] = _message(
        accesslog.route_metadata("external:", rule="egress:not-listed")
    )
    manager = _manager(accesslog.outbound_http(log), ledger, hosts=[refuse])
    tcp = _tcp("ledger-tcp", accesslog.outbound_tcp(log, destination=LEDGER, port=5432))
    return {
        "static_resources": {
            "listeners": [_listener(ports[0], [manager]), _listener(ports[1], [tcp])],
            "clusters": [
                _cluster("ledger", _address(ports[2]), transport_socket=tls),
                _cluster("ledger-tcp", _address(ports[3]), transport_socket=tls),
            ],
        }
    }


def _manager(
    log: AccessLog, host: dict[str, Any], *filters: dict[str, Any], hosts: Any = ()
) -> dict[str, Any]:
    router = _extension("filters.http.router.v3.Router")
    return _extension(
        "filters.network.http_connection_manager.v3.HttpConnectionManager",
        stat_prefix="m",
        access_log=[_message(log)],
        route_config={"virtual_hosts": [host, *hosts]},
        http_filters=[*filters, router],
    )


def _route(action: dict[str, Any]) -> dict[str, Any]:
    return {"name": "all", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, **action}]}


def _tcp(cluster: str, log: AccessLog) -> dict[str, Any]:
    kind = "filters.network.tcp_proxy.v3.TcpProxy"
    return _extension(kind, stat_prefix="t", cluster=cluster, access_log=[_message(log)])


def _listener(
    port: int, filters: list[dict[str, Any]], tls: dict[str, Any] | None = None
) -> dict[str, Any]:
    chain = {"filters": filters} | ({"transport_socket": tls} if tls else {})
    return {"name": f"p{port}", "address": _address(port), "filter_chains": [chain]}


def _tls(side: str, certificate: Path, bank: Authority, **more: Any) -> dict[str, Any]:
    version = {"tls_minimum_protocol_version": "TLSv1_3", "tls_maximum_protocol_version": "TLSv1_3"}
    key = str(certificate.with_suffix(".key"))
    chain = {
        "certificate_chain": {"filename": str(certificate)},
        "private_key": {"filename": key},
    }
    common = {
        "tls_params": version,
        "tls_certificates": [chain],
        "validation_context": {"trusted_ca": {"filename": str(bank.certificate)}},
    }
    kind = f"transport_sockets.tls.v3.{side}TlsContext"
    return _extension(kind, common_tls_context=common, **more)


def _cluster(name: str, address: dict[str, Any], **more: Any) -> dict[str, Any]:
    endpoint = {"lb_endpoints": [{"endpoint": {"address": address}}]}
    load = {"cluster_name": name, "endpoints": [endpoint]}
    return {"name": name, "type": "STATIC", "load_assignment": load, **more}


def _callers(found: dict[str, Any]) -> dict[str, Any]:
    kind = EXTENSIONS + "matching.common_inputs.ssl.v3.UriSanInput"
    return _tree(kind, {}, "exact_match_map", found)


def _paths(found: dict[str, Any]) -> dict[str, Any]:
    kind = TYPES + "type.matcher.v3.HttpRequestHeaderMatchInput"
    return {"matcher": _tree(kind, {"header_name": ":path"}, "prefix_match_map", found)}


def _tree(kind: str, fields: dict[str, Any], match: str, found: dict[str, Any]) -> dict[str, Any]:
    source = {"name": "i", "typed_config": {"@type": kind, **fields}}
    return {
        "matcher_tree": {"input": source, match: {"map": found}},
        "on_no_match": _action("DENY", "none"),
    }


def _action(verdict: str, name: str) -> dict[str, Any]:
    kind = TYPES + "config.rbac.v3.Action"
    typed = {"@type": kind, "name": name, "action": verdict}
    return {"action": {"name": "a", "typed_config": typed}}


def _extension(kind: str, **fields: Any) -> dict[str, Any]:
    return {"name": kind, "typed_config": {"@type": EXTENSIONS + kind, **fields}}


def _message(message: Any) -> dict[str, Any]:
    found: dict[str, Any] = MessageToDict(message, preserving_proto_field_name=True)
    return found


def _address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def _common_name(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        made = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [each.getsockname()[1] for each in made]


def _records(data: bytes) -> list[bytes]:
    """Return the whole TLS records at the start of `data`."""
    found = []
    while len(data) >= 5 and len(data) >= (size := 5 + int.from_bytes(data[3:5], "big")):
        found.append(data[:size])
        data = data[size:]
    return found


async def _status(reader: asyncio.StreamReader) -> int:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    size = int(head.partition("content-length: ")[2].partition("\r\n")[0] or 0)
    await reader.readexactly(size)
    return int(head.split(" ", 2)[1])
