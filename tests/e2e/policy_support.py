"""One real Envoy whose authorization filters are swapped by ECDS, and its test authority.

The listeners do what a sidecar's inbound listeners do (mutual TLS, normal form of paths, policy),
but answer by themselves; so that a status of 200 means: the policy let it pass.
"""

import asyncio
import datetime as dt
import json
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from envoy.config.core.v3.extension_pb2 import TypedExtensionConfig
from google.protobuf.any_pb2 import Any as Packed
from google.protobuf.message import Message

from meshwarden.adapters.envoy.ads import FILTERS, DiscoveryServer

ENVOY = Path(sys.executable).with_name("envoy")
TYPES = "type.googleapis.com/"
EXTENSIONS = TYPES + "envoy.extensions."
HTTP_RBAC = EXTENSIONS + "filters.http.rbac.v3.RBAC"
NETWORK_RBAC = EXTENSIONS + "filters.network.rbac.v3.RBAC"
NODE = "agreement"
ADS = {"ads": {}, "resource_api_version": "V3"}
RULE = "%DYNAMIC_METADATA(envoy.filters.http.rbac:enforced_effective_policy_id)%"


class Authority:
    """A certificate authority for one test run; its files are in `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "agreement test")])
        self._issued = 0
        usage = x509.KeyUsage(
            digital_signature=False, content_commitment=False, key_encipherment=False,
            data_encipherment=False, key_agreement=False, key_cert_sign=True, crl_sign=True,
            encipher_only=False, decipher_only=False,
        )  # fmt: skip
        certificate = (
            self._builder(self._name, self._key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(usage, critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self.certificate = folder / "ca.pem"
        self.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def issue(self, *identities: str) -> tuple[Path, Path]:
        """Return the files of a new certificate for `identities`, and of its key."""
        self._issued += 1
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"leaf {self._issued}")])
        names = [x509.UniformResourceIdentifier(identity) for identity in identities]
        both = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        certificate = (
            self._builder(name, key.public_key())
            .add_extension(
                x509.SubjectAlternativeName([*names, x509.DNSName("callee")]), critical=False
            )
            .add_extension(x509.ExtendedKeyUsage(both), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        files = (self._folder / f"{self._issued}.pem", self._folder / f"{self._issued}.key")
        files[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        files[1].write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return files

    def _builder(self, name: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        now = dt.datetime.now(dt.UTC)  # a test's certificates live now
        return (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(minutes=1))
            .not_valid_after(now + dt.timedelta(hours=1))
        )


@dataclass(slots=True)
class Proxy:
    """The running Envoy: its ports, and how its filters are swapped."""

    server: DiscoveryServer
    folder: Path
    authority: Authority
    http: int
    before: Sequence[dict[str, Any]] = ()
    runtime: Mapping[str, Any] = field(default_factory=dict)
    tcp: dict[int, int] = field(default_factory=dict)

    async def swap(self, filters: dict[str, Message]) -> list[str]:
        """Publish `filters`; return what Envoy refused, once it has answered about all of them."""
        resources = {
            name: TypedExtensionConfig(name=name, typed_config=_packed(message))
            for name, message in filters.items()
        }
        self.server.publish(NODE, {FILTERS: resources})
        refused = await asyncio.wait_for(self.server.settled(NODE), 30)
        return [f"{answer.name}: {answer.error}" for answer in refused]


def _packed(message: Message) -> Packed:
    packed = Packed()
    packed.Pack(message)
    return packed


@asynccontextmanager
async def running_proxy(
    folder: Path,
    filters: dict[str, Message],
    before: Sequence[dict[str, Any]] = (),
    runtime: Mapping[str, Any] | None = None,
) -> AsyncIterator[Proxy]:
    """Run one Envoy, whose filters start as `filters`: "http", and "tcp/<port>" for each port.

    HTTP filters `before` the policy's stay as they are; `runtime` are Envoy's runtime flags.
    """
    ports = _free_ports(len(filters))
    proxy = Proxy(DiscoveryServer(), folder, Authority(folder), ports[0], before, runtime or {})
    proxy.tcp = {
        int(name.removeprefix("tcp/")): port
        for name, port in zip((name for name in filters if name != "http"), ports[1:], strict=True)
    }
    await proxy.server.open(NODE, folder / "xds.sock")
    (folder / "envoy.json").write_text(json.dumps(_bootstrap(proxy)))
    process = _start(folder)
    try:
        refused = await proxy.swap(filters)
        assert not refused, [text[-900:] for text in refused]
        await asyncio.to_thread(_wait_for_listeners, [proxy.http, *proxy.tcp.values()], process)
        yield proxy
    finally:
        process.terminate()
        await asyncio.to_thread(process.wait, 20)
        await proxy.server.close()


def _start(folder: Path) -> subprocess.Popen[bytes]:
    options = ["--concurrency", "1", "--use-dynamic-base-id", "-l", "warn"]
    with (folder / "envoy.log").open("wb") as log:
        command = [str(ENVOY), "-c", str(folder / "envoy.json"), *options]
        return subprocess.Popen(command, stdout=log, stderr=log)


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [found.getsockname()[1] for found in sockets]
    for found in sockets:
        found.close()
    return ports


def _wait_for_listeners(ports: Sequence[int], process: subprocess.Popen[bytes]) -> None:
    for port in ports:
        while True:
            assert process.poll() is None, "Envoy ended; see envoy.log"
            with suppress(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", port), timeout=40).close()
                break


def _bootstrap(proxy: Proxy) -> dict[str, Any]:
    listeners = [
        _listener("http", proxy.http, _tls(proxy, ["h2", "http/1.1"]), [_manager(proxy.before)])
    ]
    for port, bound in proxy.tcp.items():
        echo = {
            "name": "echo",
            "typed_config": {"@type": EXTENSIONS + "filters.network.echo.v3.Echo"},
        }
        chain = [_discovered(f"tcp/{port}", NETWORK_RBAC), echo]
        listeners.append(_listener(f"tcp/{port}", bound, _tls(proxy, []), chain))
    http2 = {
        "@type": EXTENSIONS + "upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": {"http2_protocol_options": {}},
    }
    address = {"pipe": {"path": str(proxy.folder / "xds.sock")}}
    cluster = {
        "name": "xds",
        "type": "STATIC",
        "typed_extension_protocol_options": {http2["@type"].removeprefix(TYPES): http2},  # type: ignore[attr-defined]
        "load_assignment": {
            "cluster_name": "xds",
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}],
        },
    }
    return {
        "node": {"id": NODE, "cluster": NODE},
        "dynamic_resources": {
            "ads_config": {
                "api_type": "DELTA_GRPC",
                "transport_api_version": "V3",
                "grpc_services": [{"envoy_grpc": {"cluster_name": "xds"}}],
            }
        },
        "static_resources": {"listeners": listeners, "clusters": [cluster]},
        "layered_runtime": {"layers": [{"name": "static", "static_layer": dict(proxy.runtime)}]},
    }


def _listener(
    name: str, port: int, tls: dict[str, Any], filters: list[dict[str, Any]]
) -> dict[str, Any]:
    address = {"socket_address": {"address": "127.0.0.1", "port_value": port}}
    return {
        "name": name,
        "address": address,
        "filter_chains": [{"transport_socket": tls, "filters": filters}],
    }


def _tls(proxy: Proxy, alpn: list[str]) -> dict[str, Any]:
    certificate, key = proxy.authority.issue("spiffe://bank.example/callee")
    common = {
        "alpn_protocols": alpn,
        "tls_certificates": [
            {
                "certificate_chain": {"filename": str(certificate)},
                "private_key": {"filename": str(key)},
            }
        ],
        "validation_context": {"trusted_ca": {"filename": str(proxy.authority.certificate)}},
    }
    context = {
        "@type": EXTENSIONS + "transport_sockets.tls.v3.DownstreamTlsContext",
        "require_client_certificate": True,
        "common_tls_context": common,
    }
    return {"name": "tls", "typed_config": context}


def _discovered(name: str, type_url: str) -> dict[str, Any]:
    return {"name": name, "config_discovery": {"config_source": ADS, "type_urls": [type_url]}}


def _manager(before: Sequence[dict[str, Any]]) -> dict[str, Any]:
    route = {
        "match": {"safe_regex": {"regex": "(?s).*"}},
        "direct_response": {"status": 200},
        "response_headers_to_add": [{"header": {"key": "x-rule", "value": RULE}}],
    }
    return {
        "name": "http",
        "typed_config": {
            "@type": EXTENSIONS
            + "filters.network.http_connection_manager.v3.HttpConnectionManager",
            "stat_prefix": "http",
            "delayed_close_timeout": "0.02s",
            "normalize_path": True,
            "merge_slashes": True,
            "path_with_escaped_slashes_action": "REJECT_REQUEST",
            "route_config": {
                "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]
            },
            "http_filters": [
                *before,
                _discovered("http", HTTP_RBAC),
                {
                    "name": "router",
                    "typed_config": {"@type": EXTENSIONS + "filters.http.router.v3.Router"},
                },
            ],
        },
    }
