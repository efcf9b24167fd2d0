"""What one sidecar is to do, as plain values; `snapshot` turns them into xDS resources.

A sidecar receives only what its policy lets it call and be called by: a callee that no rule lets it
reach has neither route nor cluster here, an outside host only where `egress` names it.
"""

from dataclasses import dataclass
from pathlib import Path

from google.protobuf.message import Message

from meshwarden.kernel import SpiffeId


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """An IP address and port, or the path of a Unix socket (`port` 0)."""

    address: str
    port: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class TcpInbound:
    """A port of connections that the service accepts.

    Attributes:
        port: as the policy names it.
        callers: who may connect; none where only others' workloads may.
        listen: where callers arrive with mutual TLS.
        application: where the service listens.
        partners: workloads of other trust domains that may connect.
        federated: where those arrive; None where there are none.
    """

    port: int
    callers: tuple[SpiffeId, ...]
    listen: Endpoint
    application: Endpoint
    partners: tuple[SpiffeId, ...] = ()
    federated: Endpoint | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Callee:
    """A service that this one may call; for connections, `port` and where the caller finds it.

    `at` is the IP address that the caller's hosts file gives it, where there is such a file.
    """

    service: str
    identity: SpiffeId
    endpoints: tuple[Endpoint, ...]
    port: int | None = None
    local: Endpoint | None = None
    at: str | None = None

    @property
    def cluster(self) -> str:
        """The name of the callee's cluster."""
        return f"service/{self.service}" + (f"/{self.port}" if self.port else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outside:
    """A host outside the mesh that this service may call; `address` where no resolver knows it.

    `at` is the IP address that the caller's hosts file gives it, where there is such a file.
    `identity` is what it must prove to be under mutual TLS; None: the sidecar adds no TLS.
    """

    host: str
    port: int
    address: Endpoint | None = None
    at: str | None = None
    identity: SpiffeId | None = None

    @property
    def cluster(self) -> str:
        """The name of the host's cluster."""
        return f"outside/{self.host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sidecar:
    """One sidecar: whose it is, where it listens, where it may go.

    Attributes:
        service: the service's name, and the proxy's node id.
        identity: the service's identity.
        inbound: where callers arrive with mutual TLS; None where it accepts no requests.
        outbound: where the service sends its requests, as to an HTTP proxy.
        edge: where requests from outside arrive; None where the service is not at the edge.
        edge_tls: whether they arrive over TLS.
        shows_certificate: whether the service is told the caller's certificate besides its name.
        federated: where callers of other trust domains arrive; None where none may call.
        verifies_tokens: whether requests that arrive may carry transaction tokens.
        authorizer: the socket of what decides with live state; None where nothing asks it.
        application: where the service itself listens; None where it only calls others.
        tcp: the ports of connections that it accepts.
        callees: the services that policy lets it call.
        outside: the outside hosts that policy lets it call.
        access_log: the file that records every call.
        source: the IP address from which it calls other sidecars; None: that of `outbound`.
        shared: a Unix socket on which it takes the same as on `outbound`; None: there is none.
        redirected: where connections arrive that the service did not address to it; None where
            the service is not isolated.
    """

    service: str
    identity: SpiffeId
    inbound: Endpoint | None
    outbound: Endpoint
    edge: Endpoint | None
    application: Endpoint | None
    tcp: tuple[TcpInbound, ...]
    callees: tuple[Callee, ...]
    outside: tuple[Outside, ...]
    access_log: Path
    source: str | None = None
    redirected: Endpoint | None = None
    federated: Endpoint | None = None
    shows_certificate: bool = False
    verifies_tokens: bool = False
    authorizer: Endpoint | None = None
    edge_tls: bool = False
    shared: Endpoint | None = None

    @property
    def meets_others(self) -> bool:
        """Whether requests lead it to or bring it workloads of other trust domains."""
        return self.federated is not None or any(host.identity for host in self.outside)


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """The compiled policy of one service: its HTTP filter, and one network filter by port."""

    http: Message
    tcp: "dict[int, Message]"
