"""The facts of an access policy, and the two things it is asked about: requests and connections.

Nothing is allowed that no rule allows; the order of rules never matters. A rule is about requests
(methods and paths) or about connections (tcp), never both. What the values mean is in `decide`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from meshwarden.kernel import SpiffeId
from meshwarden.policy.path import PathPattern

HOST: Final = re.compile(
    r"(?=.{1,253}$)[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*"
)
_METHOD = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}")  # RFC 9110, section 9.1: a token


def is_method(text: str) -> bool:
    """Return whether a rule may name the method `text`: a token, and not one in the wrong case."""
    in_wrong_case = text.isalpha() and text != text.upper()
    return _METHOD.fullmatch(text) is not None and not in_wrong_case


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRequirement:
    """What a transaction token must say beside being valid.

    Attributes:
        scopes: all of these are in its `scope`.
        acr: the assurance that its `acr` states; None where any will do.
        bound: its `req_wl` is the caller itself.
        once: it was not used before (needs a shared store; no filter and no evaluator knows it).
    """

    scopes: tuple[str, ...] = ()
    acr: str | None = None
    bound: bool = False
    once: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One grant.

    Attributes:
        name: its place in the policy (`ledger.accepts[0]`); the name that logs and decisions carry.
        sources: who may call, in the order written.
        methods: HTTP methods, case-sensitive; None = any.
        paths: path patterns; None = any clean path.
        tcp: the port it opens for connections; None where it is about requests.
        token: what the caller's token must say; None = no token needed.
        where: `file:line`.
    """

    name: str
    sources: tuple[SpiffeId, ...]
    methods: frozenset[str] | None = None
    paths: tuple[PathPattern, ...] | None = None
    tcp: int | None = None
    token: TokenRequirement | None = None
    where: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Egress:
    """One host outside the mesh that a service may reach.

    Attributes:
        host: its name.
        port: its port.
        identity: what it must prove to be, under mutual TLS, where it is a workload of a federated
            trust domain.
    """

    host: str
    port: int
    identity: SpiffeId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """One workload of the mesh.

    Attributes:
        name: a DNS label; callers use it as the host.
        identity: its SPIFFE ID.
        tier: 0 = most critical; None where not said.
        edge: whether it takes traffic from outside the mesh.
        data: what it holds (`cardholder`, `personal`, ...).
        accepts: who may call it, and how.
        egress: the outside hosts that it may reach.
        where: `file:line`.
    """

    name: str
    identity: SpiffeId
    tier: int | None = None
    edge: bool = False
    data: tuple[str, ...] = ()
    accepts: tuple[Rule, ...] = ()
    egress: tuple[Egress, ...] = ()
    where: str = ""

    @property
    def tcp_ports(self) -> tuple[int, ...]:
        """The ports on which it accepts connections, ascending."""
        return tuple(sorted({rule.tcp for rule in self.accepts if rule.tcp is not None}))


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessPolicy:
    """All services of one trust domain; ValueError where two of them share an identity."""

    trust_domain: str
    services: Mapping[str, Service]
    _by_identity: Mapping[SpiffeId, Service] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        by_identity = {service.identity: service for service in self.services.values()}
        if len(by_identity) != len(self.services):
            raise ValueError("two services share one identity")
        object.__setattr__(self, "services", MappingProxyType(dict(self.services)))
        object.__setattr__(self, "_by_identity", MappingProxyType(by_identity))

    def service_with(self, identity: SpiffeId) -> Service | None:
        """Return the service that has `identity`; None where none has."""
        return self._by_identity.get(identity)

    def name_of(self, identity: SpiffeId) -> str:
        """Return what an author calls `identity`: the service's name, else the SPIFFE ID."""
        service = self.service_with(identity)
        return service.name if service else str(identity)


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpRequest:
    """One HTTP or gRPC request.

    Attributes:
        source: the caller, as its certificate proved.
        destination: the callee.
        method: as sent, case-sensitive.
        path: the raw `:path` as sent, with its query.
    """

    source: SpiffeId
    destination: SpiffeId
    method: str
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """One TCP connection to a port of the callee."""

    source: SpiffeId
    destination: SpiffeId
    port: int
