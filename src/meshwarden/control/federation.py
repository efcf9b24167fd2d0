"""Federation as the mesh file names it: whose identities we verify, and where we publish ours.

Nothing is inferred (SPIFFE Federation, 5.1): trust domain, URL and profile are written down, and
for `https_spiffe` the endpoint's SPIFFE ID and a first bundle that came by another way.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from meshwarden.kernel import InputError, Node, SpiffeId, parse_trust_domain

MAX_DOMAINS: Final = 64


class Profile(StrEnum):
    """How a bundle endpoint proves that it is the right one."""

    WEB = "https_web"
    SPIFFE = "https_spiffe"


@dataclass(frozen=True, slots=True, kw_only=True)
class FederatedDomain:
    """Another trust domain whose workloads may be named in the policy.

    Attributes:
        trust_domain: its name.
        url: its bundle endpoint, https.
        profile: how the endpoint proves itself.
        endpoint_identity: its SPIFFE ID, of that same trust domain; with `https_spiffe`.
        bundle: file of a first bundle; needed with `https_spiffe`.
        web_roots: PEM file of roots for `https_web`; None: those of this machine.
    """

    trust_domain: str
    url: str
    profile: Profile
    endpoint_identity: SpiffeId | None = None
    bundle: Path | None = None
    web_roots: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointSettings:
    """Our own bundle endpoint.

    Attributes:
        host: IP address to listen on.
        port: its port.
        identity: the SPIFFE ID of its certificate (`https_spiffe`).
        certificates: PEM file of a web certificate and its chain (`https_web`); None: an SVID.
        key: PEM file of its key.
    """

    host: str
    port: int
    identity: SpiffeId | None = None
    certificates: Path | None = None
    key: Path | None = None


def parse_federation(node: Node | None, directory: Path) -> tuple[FederatedDomain, ...]:
    """Return the federated domains; InputError where the list contradicts itself."""
    if node is None:
        return ()
    found: dict[str, FederatedDomain] = {}
    for item in node.items():
        domain = _domain(item, directory)
        if domain.trust_domain in found:
            item.refuse("mesh.federation", f"{domain.trust_domain} is federated twice")
        found[domain.trust_domain] = domain
    if len(found) > MAX_DOMAINS:
        node.refuse("mesh.federation", f"more than {MAX_DOMAINS} federated trust domains")
    return tuple(found.values())


def parse_endpoint(
    node: Node | None, directory: Path, address: Callable[[str, Node], tuple[str, int]]
) -> EndpointSettings | None:
    """Return our own bundle endpoint; `address` reads an IP address and port."""
    if node is None:
        return None
    fields = node.fields(required=["listen"], optional=["identity", "certificates", "key"])
    host, port = address("listen", fields["listen"])
    identity, certificates, key = (fields.get(n) for n in ("identity", "certificates", "key"))
    if (certificates is None) != (key is None) or (certificates is None) == (identity is None):
        node.refuse(
            "mesh.bundle_endpoint",
            "the endpoint needs either an identity, or certificates and key",
            hint="identity: spiffe://<trust domain>/bundle-endpoint serves https_spiffe",
        )
    return EndpointSettings(
        host=host,
        port=port,
        identity=None if identity is None else _identity(identity),
        certificates=directory / certificates.text() if certificates else None,
        key=directory / key.text() if key else None,
    )


def parse_partners(
    node: Node | None, address: Callable[[str, Node], tuple[str, int]]
) -> dict[int | None, tuple[str, int]]:
    """Return where callers of other trust domains arrive, by `tcp` port; None: their requests."""
    found: dict[int | None, tuple[str, int]] = {}
    for item in node.items() if node else ():
        fields = item.fields(required=["listen"], optional=["tcp"])
        port = fields["tcp"].integer(1, 65535) if "tcp" in fields else None
        if port in found:
            item.refuse("mesh.partners", f"{item.path} says again what stands above it")
        found[port] = address("listen", fields["listen"])
    return found


def _domain(node: Node, directory: Path) -> FederatedDomain:
    fields = node.fields(
        required=["trust_domain", "url", "profile"],
        optional=["endpoint_identity", "bundle", "web_roots"],
    )
    name = parse_trust_domain(fields["trust_domain"].text(), where=fields["trust_domain"].where)
    profile = fields["profile"].text()
    if profile not in set(Profile):
        fields["profile"].refuse(
            "mesh.federation", f"unknown profile {profile!r}", hint="https_web or https_spiffe"
        )
    identity, bundle, roots = (
        fields.get(key) for key in ("endpoint_identity", "bundle", "web_roots")
    )
    spiffe = profile == Profile.SPIFFE
    if spiffe and (identity is None or bundle is None):
        node.refuse("mesh.federation", "https_spiffe needs endpoint_identity and a first bundle")
    if spiffe and roots is not None:
        roots.refuse("mesh.federation", "web_roots is for https_web alone")
    if not spiffe and identity is not None:
        identity.refuse("mesh.federation", "endpoint_identity is for https_spiffe alone")
    endpoint = None if identity is None else _identity(identity)
    if identity is not None and endpoint is not None and endpoint.trust_domain != name:
        identity.refuse("mesh.federation", f"{endpoint} is not of {name}, whose bundle it serves")
    return FederatedDomain(
        trust_domain=name,
        url=_url(fields["url"]),
        profile=Profile(profile),
        endpoint_identity=endpoint,
        bundle=directory / bundle.text() if bundle else None,
        web_roots=directory / roots.text() if roots else None,
    )


def _identity(node: Node) -> SpiffeId:
    try:
        return SpiffeId.parse(node.text())
    except InputError as error:
        node.refuse(error.code, error.message, hint=error.hint)


def _url(node: Node) -> str:
    try:
        parts = urlsplit(node.text())
        usable = parts.scheme == "https" and parts.hostname and parts.username is None
        usable = usable and not parts.fragment and (parts.port or 443) > 0
    except ValueError:
        usable = None
    if not usable:
        node.refuse("mesh.federation", "a bundle endpoint is an https URL without user")
    return node.text()
