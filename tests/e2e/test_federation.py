"""Two trust domains: a partner's workload calls ours, and the partner's root vouches for no other."""

import contextlib
import ipaddress
import json
import os
import socket
import ssl
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from tests.e2e.small_mesh import MESH, POLICY, SERVICES, eventually
from tests.e2e.thief import Holder, holder_of
from tests.unit.identity.forge import forge, uri, usage

from meshwarden.adapters.chance import SystemChance
from meshwarden.adapters.clock import SystemClock
from meshwarden.adapters.spiffe.bundle_client import fetch_bundle_spiffe, fetch_bundle_web
from meshwarden.adapters.spiffe.bundle_endpoint import BundleEndpoint
from meshwarden.adapters.storage.authority import load_or_create_authority
from meshwarden.adapters.yaml import load_document
from meshwarden.control.federation import FederatedDomain, Profile
from meshwarden.control.layout import (
    FEDERATED_PORT,
    INBOUND_PORT,
    Layout,
    federated_tcp_ports,
    inbound_tcp_ports,
    layout_of,
)
from meshwarden.control.mesh import parse_mesh
from meshwarden.control.supervision import Supervisor
from meshwarden.control.supervision.wiring import wire
from meshwarden.control.workload.federation import Federation
from meshwarden.identity import (
    Authority,
    Bundle,
    TrustBundle,
    create_authority,
    create_root,
    issue_svid,
    parse_bundle,
    render_bundle,
)
from meshwarden.kernel import DependencyError, InputError, SpiffeId
from meshwarden.policy import parse_policy

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]
PARTNER = "partner.example"
ENDPOINT = SpiffeId.parse(f"spiffe://{PARTNER}/bundle-endpoint")
CHANCE = SystemChance()
REFUSED = (httpx.HTTPError, ssl.SSLError)  # the alert may come at any moment of the exchange


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def unconstrained(domain: str) -> Authority:
    """Return an authority without name constraints, as many partners have."""
    now = datetime.now(UTC)
    certificate, key = forge(
        None, names=[uri(f"spiffe://{domain}")], names_critical=False, subject=f"root {CHANCE.serial():x}",
        ca=True, key_usage=usage("key_cert_sign", "crl_sign"), purposes=(),
        start=now - timedelta(days=1), end=now + timedelta(days=30),
    )  # fmt: skip
    return Authority(
        trust_domain=domain,
        issuer=certificate,
        intermediates=(),
        bundle=TrustBundle(trust_domain=domain, certificates=(certificate,)),
        key=key,
    )


def credentials(authority: Authority, identity: str, folder: Path) -> Path:
    """Return a PEM file that `authority` signed for `identity`, whoever's that is."""
    now = datetime.now(UTC)
    leaf, key = forge(
        (authority.issuer, authority.key), names=[uri(identity)],
        start=now - timedelta(minutes=1), end=now + timedelta(hours=1),
    )  # fmt: skip
    chain = b"".join(one.public_bytes(Encoding.PEM) for one in (leaf, *authority.intermediates))
    raw = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path = folder / f"{SystemChance().serial():x}.pem"
    path.write_bytes(raw + chain)
    return path


@dataclass(kw_only=True)
class Partner:
    """Another trust domain and its bundle endpoint."""

    authority: Authority
    port: int
    sequence: int = 1
    hint_s: int = 1

    def bundle(self) -> Bundle:
        return Bundle(
            trust_domain=PARTNER,
            certificates=self.authority.bundle.certificates,
            sequence=self.sequence,
            refresh_hint_s=self.hint_s,
        )

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}/bundle"

    @contextlib.asynccontextmanager
    async def publishing(self, identity: SpiffeId = ENDPOINT) -> AsyncIterator[None]:
        endpoint = BundleEndpoint(bundle=self.bundle)
        svid = issue_svid(self.authority, identity, now=datetime.now(UTC), serial=CHANCE.serial())
        endpoint.present(svid.certificate_chain, svid.private_key.reveal())
        async with endpoint.serving("127.0.0.1", self.port):
            yield


@dataclass(kw_only=True)
class Two:
    """Our mesh and the partner."""

    directory: Path
    layout: Layout
    partner: Partner

    async def call(self, pem: Path, port: int = FEDERATED_PORT, path: str = "/v1/ping") -> int:
        """Return the status of a call with these credentials to `back`."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE  # who we are is what is tested here
        context.load_cert_chain(pem)
        host = self.layout.host("back")
        async with httpx.AsyncClient(verify=context, trust_env=False, timeout=40) as client:
            return (await client.get(f"https://{host}:{port}{path}")).status_code

    def holder(self, authority: Authority, identity: str) -> Holder:
        return holder_of(self.credentials(authority, identity))

    def back(self) -> tuple[str, int]:
        return self.layout.host("back"), FEDERATED_PORT

    def store(self, *, federated: bool = True) -> tuple[str, int]:
        ports = federated_tcp_ports([5432]) if federated else inbound_tcp_ports([5432])
        return self.layout.host("store"), ports[5432]

    async def revoke(self, target: str) -> httpx.Response:
        transport = httpx.AsyncHTTPTransport(uds=str(self.layout.api_socket))
        async with httpx.AsyncClient(transport=transport, timeout=40) as client:
            return await client.post("http://api/v1/identity/revoke", json={"target": target})

    def credentials(self, authority: Authority, identity: str) -> Path:
        return credentials(authority, identity, self.directory)

    def own_authority(self) -> Authority:
        return load_or_create_authority(
            self.layout.authority_dir, "test.example", now=datetime.now(UTC)
        )


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def two(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Two]:
    directory = tmp_path_factory.mktemp("f")
    partner = Partner(authority=unconstrained(PARTNER), port=free_port())
    (directory / "partner.json").write_text(json.dumps(render_bundle(partner.bundle())))
    ours = free_port()
    policy = POLICY.replace(
        "from: [front]\n        methods", f"from: [front, spiffe://{PARTNER}/shop]\n        methods"
    ).replace("from: [front], tcp: 5432", f"from: [front, 'spiffe://{PARTNER}/shop'], tcp: 5432")
    (directory / "access.yaml").write_text(policy)
    more = f"""
federation:
  - trust_domain: {PARTNER}
    url: {partner.url}
    profile: https_spiffe
    endpoint_identity: {ENDPOINT}
    bundle: partner.json
bundle_endpoint:
  listen: 127.0.0.1:{ours}
  identity: spiffe://test.example/bundle-endpoint
"""
    mesh_file = directory / "mesh.yaml"
    mesh_file.write_text(
        MESH.format(
            python=sys.executable,
            services=SERVICES,
            outside="127.0.0.1:9",
            more=more,
            services_more="",
        )
    )
    mesh = parse_mesh(load_document(mesh_file), directory)
    parsed = parse_policy(load_document(mesh.policy_path))
    layout = layout_of(mesh, directory / "s")
    wiring = wire(mesh_file, mesh, parsed, layout)
    lines: list[str] = []
    async with (
        partner.publishing(),
        Supervisor(
            mesh, layout, wiring, environment=os.environ,
            on_line=lambda who, line: lines.append(f"{who} | {line}"),
        ),
    ):  # fmt: skip
        yield Two(directory=directory, layout=layout, partner=partner)


async def test_a_partners_workload_calls_what_the_policy_lets_it_and_no_more(two: Two) -> None:
    shop = two.credentials(two.partner.authority, f"spiffe://{PARTNER}/shop")
    assert await two.call(shop) == 200
    assert await two.call(shop, path="/v1/other") == 403
    other = two.credentials(two.partner.authority, f"spiffe://{PARTNER}/other")
    assert await two.call(other) == 403


@pytest.mark.parametrize("port", [FEDERATED_PORT, INBOUND_PORT])
async def test_a_partners_root_does_not_vouch_for_our_identities(two: Two, port: int) -> None:
    forged = two.credentials(two.partner.authority, "spiffe://test.example/front")
    with pytest.raises(REFUSED):
        await two.call(forged, port)


async def test_each_port_refuses_the_others_identities(two: Two) -> None:
    own = two.credentials(two.own_authority(), "spiffe://test.example/front")
    assert await two.call(own, INBOUND_PORT) == 200
    with pytest.raises(REFUSED):
        await two.call(own, FEDERATED_PORT)
    shop = two.credentials(two.partner.authority, f"spiffe://{PARTNER}/shop")
    with pytest.raises(REFUSED):
        await two.call(shop, INBOUND_PORT)


async def heard(holder: Holder, address: tuple[str, int]) -> bytes:
    """Return what is answered on a new connection; nothing where that is refused."""
    try:
        async with holder.line(*address) as line:
            return await line.say(b"abc")
    except OSError:
        return b""


async def test_a_partners_workload_connects_to_the_port_that_names_it(two: Two) -> None:
    shop = two.holder(two.partner.authority, f"spiffe://{PARTNER}/shop")
    assert await heard(shop, two.store()) == b"ABC"
    assert await heard(shop, two.store(federated=False)) == b""
    for authority, identity in [
        (two.partner.authority, f"spiffe://{PARTNER}/other"),
        (two.partner.authority, "spiffe://test.example/front"),  # not theirs to vouch for
        (unconstrained(PARTNER), f"spiffe://{PARTNER}/shop"),  # nobody's root
        (two.own_authority(), "spiffe://test.example/front"),  # would go around the list
    ]:
        assert await heard(two.holder(authority, identity), two.store()) == b""
    own = two.holder(two.own_authority(), "spiffe://test.example/front")
    assert await heard(own, two.store(federated=False)) == b"ABC"


async def test_a_partners_certificate_is_cut_off_here_and_its_namesake_is_not(two: Two) -> None:
    stolen, clean = (
        two.holder(two.partner.authority, f"spiffe://{PARTNER}/shop") for _ in range(2)
    )
    async with (
        stolen.line(*two.back()) as requests,
        stolen.line(*two.store()) as octets,
        clean.line(*two.back()) as clean_requests,
        clean.line(*two.store()) as clean_octets,
    ):
        assert await requests.get() == await clean_requests.get() == 200
        assert await octets.say(b"abc") == await clean_octets.say(b"abc") == b"ABC"
        answer = await two.revoke(stolen.pem)
        assert answer.status_code == 200, answer.text
        assert answer.json()["recorded"] is True
        assert await requests.get() == await stolen.get_anew(*two.back()) == 403
        assert await octets.say(b"abc") == await heard(stolen, two.store()) == b""
        assert await clean_requests.get() == await clean.get_anew(*two.back()) == 200
        assert await clean_octets.say(b"def") == b"DEF"


async def test_a_certificate_that_no_known_authority_signed_is_not_taken_for_a_partners(
    two: Two,
) -> None:
    for authority, identity in [
        (unconstrained(PARTNER), f"spiffe://{PARTNER}/shop"),
        (unconstrained("other.example"), "spiffe://other.example/shop"),
        (two.partner.authority, "spiffe://test.example/front"),
    ]:
        answer = await two.revoke(two.holder(authority, identity).pem)
        assert answer.status_code == 422
        assert answer.json()["title"] in {"identity.untrusted", "identity.signature"}


async def test_our_bundle_is_fetched_by_the_spiffe_profile(two: Two) -> None:
    own = two.own_authority()
    mesh = parse_mesh(load_document(two.directory / "mesh.yaml"), two.directory)
    assert mesh.bundle_endpoint is not None
    url = f"https://127.0.0.1:{mesh.bundle_endpoint.port}/"
    trusted = Bundle(trust_domain="test.example", certificates=own.bundle.certificates)
    identity = SpiffeId.parse("spiffe://test.example/bundle-endpoint")
    raw = await fetch_bundle_spiffe(url, identity, trusted)
    found = parse_bundle(raw, "test.example", where=url)
    assert found.certificates == own.bundle.certificates
    assert len(found.jwt_keys) == 1
    for wrong in (SpiffeId.parse("spiffe://test.example/other"), ENDPOINT):
        with pytest.raises(DependencyError):
            await fetch_bundle_spiffe(url, wrong, trusted)
    with pytest.raises(DependencyError):
        await fetch_bundle_web(url)  # no web authority knows it


async def test_a_partners_new_root_is_taken_over_and_its_old_one_dropped(two: Two) -> None:
    """Runs last: the partner's authority is another afterwards."""
    old = two.partner.authority
    before = two.credentials(old, f"spiffe://{PARTNER}/shop")
    new = unconstrained(PARTNER)
    both = TrustBundle(
        trust_domain=PARTNER, certificates=(*old.bundle.certificates, *new.bundle.certificates)
    )
    two.partner.authority, two.partner.sequence = replace(new, bundle=both), 2
    after = two.credentials(new, f"spiffe://{PARTNER}/shop")

    async def _passes() -> bool:
        try:
            return await two.call(after) == 200
        except REFUSED:
            return False

    await eventually(_passes)
    assert await two.call(before) == 200
    two.partner.authority, two.partner.sequence = new, 3

    async def _refused() -> bool:
        try:
            await two.call(before)
        except REFUSED:
            return True
        return False

    await eventually(_refused)
    assert await two.call(after) == 200


async def test_what_a_poll_brings_that_is_no_good_leaves_the_last_good_one(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    root = create_root(PARTNER, now=now, serial=CHANCE.serial())
    authority = create_authority(root, now=now, serial=CHANCE.serial())
    partner = Partner(authority=authority, port=free_port(), sequence=7)
    (tmp_path / "first.json").write_text(json.dumps(render_bundle(partner.bundle())))
    domain = FederatedDomain(
        trust_domain=PARTNER, url=partner.url, profile=Profile.SPIFFE,
        endpoint_identity=ENDPOINT, bundle=tmp_path / "first.json",
    )  # fmt: skip
    federation = Federation(
        domains=[domain], directory=tmp_path / "kept", clock=SystemClock(), tell=print
    )
    with pytest.raises(DependencyError):
        await federation.poll(domain)  # nobody is there
    async with partner.publishing(SpiffeId.parse(f"spiffe://{PARTNER}/someone-else")):
        with pytest.raises(DependencyError):
            await federation.poll(domain)
    async with partner.publishing():
        partner.sequence = 6
        with pytest.raises(InputError, match="older"):
            await federation.poll(domain)
        assert federation.bundles()[PARTNER].sequence == 7
        partner.sequence = 8
        await federation.poll(domain)
    again = Federation(
        domains=[domain], directory=tmp_path / "kept", clock=SystemClock(), tell=print
    )
    assert again.bundles()[PARTNER].sequence == 8


async def test_the_web_profile_takes_the_webs_word_for_the_host_and_nothing_else(
    tmp_path: Path,
) -> None:
    now = datetime.now(UTC)
    times: dict[str, Any] = {"start": now - timedelta(days=1), "end": now + timedelta(days=1)}
    ca = forge(
        None, names=(), subject="web", ca=True, key_usage=usage("key_cert_sign"), purposes=(), **times
    )  # fmt: skip
    roots = tmp_path / "roots.pem"
    roots.write_bytes(ca[0].public_bytes(Encoding.PEM))
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    partner = Partner(authority=unconstrained(PARTNER), port=free_port())
    for number, (name, accepted) in enumerate([(address, True), (x509.DNSName("x.test"), False)]):
        leaf, key = forge(ca, names=[name], subject="web server", names_critical=False, **times)
        certificate, secret = tmp_path / f"{number}.pem", tmp_path / f"{number}.key"
        certificate.write_bytes(leaf.public_bytes(Encoding.PEM))
        secret.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        endpoint = BundleEndpoint(bundle=partner.bundle)
        endpoint.present_files(certificate, secret)
        partner.port = free_port()
        async with endpoint.serving("127.0.0.1", partner.port):
            if accepted:
                raw = await fetch_bundle_web(partner.url, roots)
                found = parse_bundle(raw, PARTNER, where="test")
                assert found.certificates == partner.authority.bundle.certificates
            for other in [None] if accepted else [roots, None]:
                with pytest.raises(DependencyError):
                    await fetch_bundle_web(partner.url, other)
