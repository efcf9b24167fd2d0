"""What an access log's entries mean: `Entry` into `Report`, one side's account of one `Call`.

Rules that hold here:

- A caller is who it proved to be in a handshake that ended well; anything else is `unknown` (or
  `external:` at the edge) and what its certificate claimed goes to `claimed`. Entries of tcp_proxy
  do not say how the handshake ended: only octets that came out of it, or a rule that RBAC decided
  on them, prove the peer.
- Two reports are of the same call when their keys are equal. The key holds the hop's id (HTTP) or
  the connection's two addresses (tcp), and both identities: the caller's as the callee's handshake
  proved it in the one, as the owner of the log in the other. So no id that an application chose,
  or a stolen one, pairs anything.
- An id on a request that never reached a callee is ignored: Envoy had not overwritten it.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import lru_cache
from typing import Final, Protocol, TypedDict

from meshwarden.adapters.envoy.accesslog import Kind
from meshwarden.adapters.envoy.accesslog_address import (
    address_of,
    external,
    host_of,
    pair_of,
    port_of,
)
from meshwarden.adapters.envoy.accesslog_entry import Entry
from meshwarden.adapters.envoy.accesslog_rules import (
    callee_decision,
    caller_refusal,
    handshake_rule,
)
from meshwarden.behaviour.routes import route_by_form
from meshwarden.kernel import EXTERNAL, UNKNOWN, Call, InputError, SpiffeId

_SHA256: Final = re.compile(r"[0-9a-f]{64}")


class RouteNamer(Protocol):
    """Gives the route of a path: the deciding rule's own template, where it has one."""

    def __call__(self, destination: str, rule: str | None, path: str) -> str:
        """Return the route of `path` at `destination`, identifiers replaced by `{}`."""
        ...


def _by_form(destination: str, rule: str | None, path: str) -> str:  # noqa: ARG001
    return route_by_form(path)


@dataclass(frozen=True, slots=True, kw_only=True)
class Naming:
    """What the codec has to know about the mesh.

    Attributes:
        services: SPIFFE ID by host name, for requests that no route took.
        route: names routes; by the form of segments unless told.
        templates: for the rule that decided, expressions (RE2) for the whole of a normal path, in
            the order in which they count, and the route that `route` gives what one matches.
    """

    services: Mapping[str, str] = field(default_factory=dict)
    route: RouteNamer = _by_form
    templates: Callable[[str | None], Sequence[tuple[str, str]]] = lambda _: ()


class Side(Enum):
    """Whose account of a call a report is."""

    CALLEE = "callee"
    CALLER = "caller"


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One side's account of a call.

    Attributes:
        key: equal to the other side's for the same call; None where no other side can have one.
        end: when the call was over, in nanoseconds since the epoch.
    """

    call: Call
    side: Side
    key: str | None
    end: int


def report_of(entry: Entry, *, owner: str, naming: Naming) -> Report | None:
    """Return what `entry`, from the log of the sidecar of `owner` (SPIFFE ID), reports.

    None for the line of a listener about a connection whose handshake ended well.
    """
    match entry.kind:
        case Kind.INBOUND:
            return _inbound(entry, owner, naming)
        case Kind.EDGE:
            return _edge(entry, owner, naming)
        case Kind.OUTBOUND:
            return _outbound(entry, owner, naming)
        case Kind.INBOUND_TCP:
            return _inbound_tcp(entry, owner)
        case Kind.OUTBOUND_TCP:
            return _outbound_tcp(entry, owner)
        case Kind.LISTENER:
            return None if entry.handshake else _refused_handshake(entry, owner)


def _inbound(entry: Entry, owner: str, naming: Naming) -> Report:
    proven = entry.handshake and entry.failure is None
    source = identity_of(entry.peer) if proven else None
    denied, rule = callee_decision(entry)
    return Report(
        call=Call(
            time=entry.time,
            source=source or UNKNOWN,
            destination=owner,
            source_instance=address_of(entry.remote),
            destination_instance=address_of(entry.local),
            request_bytes=entry.received,
            response_bytes=entry.sent,
            duration=entry.duration,
            denied=denied,
            rule=rule,
            mtls=source is not None,
            claimed=None if source else entry.peer,
            source_certificate=certificate_digest(entry.certificate) if source else None,
            transaction=entry.transaction,
            reporter="destination",
            **_http(entry, owner, rule, naming),
        ),
        side=Side.CALLEE,
        key=key_of("id", entry.call, source, owner),
        end=entry.end,
    )


def _edge(entry: Entry, owner: str, naming: Naming) -> Report:
    denied, rule = callee_decision(entry)
    address = address_of(entry.remote)
    return Report(
        call=Call(
            time=entry.time,
            source=f"{EXTERNAL}{address}" if address else UNKNOWN,
            destination=owner,
            source_instance=address,
            destination_instance=address_of(entry.local),
            request_bytes=entry.received,
            response_bytes=entry.sent,
            duration=entry.duration,
            denied=denied,
            rule=rule,
            mtls=False,
            transaction=entry.transaction,
            reporter="destination",
            **_http(entry, owner, rule, naming),
        ),
        side=Side.CALLEE,
        key=None,
        end=entry.end,
    )


def _outbound(entry: Entry, owner: str, naming: Naming) -> Report:
    host, port = host_of(entry.authority)
    # A route that refuses every other host does not know which: the authority names it.
    known = entry.destination if entry.destination != EXTERNAL else None
    destination = known or naming.services.get(host) or external(host)
    reached = entry.upstream_remote is not None
    denied, rule = caller_refusal(entry)
    return Report(
        call=Call(
            time=entry.time,
            source=owner,
            destination=destination,
            source_instance=address_of(entry.remote),
            destination_instance=address_of(entry.upstream_remote),
            destination_port=port if destination.startswith(EXTERNAL) else None,
            request_bytes=entry.received,
            response_bytes=entry.sent,
            duration=entry.duration,
            denied=denied,
            rule=rule,
            reporter="source",
            **_http(entry, destination, rule, naming),
        ),
        side=Side.CALLER,
        # Nobody else reports a call to an outside host: there is nothing to wait for.
        key=key_of("id", entry.call, owner, destination)
        if reached and not destination.startswith(EXTERNAL)
        else None,
        end=entry.end,
    )


def _inbound_tcp(entry: Entry, owner: str) -> Report:
    proven = entry.failure is None and (entry.received > 0 or entry.rule is not None)
    source = identity_of(entry.peer) if proven else None
    if source is None:
        return _refused_handshake(entry, owner)
    denied, rule = callee_decision(entry)
    return Report(
        call=Call(
            time=entry.time,
            source=source,
            destination=owner,
            source_instance=address_of(entry.remote),
            destination_instance=address_of(entry.local),
            source_port=port_of(entry.remote),
            destination_port=entry.port,
            protocol="tcp",
            request_bytes=entry.received,
            response_bytes=entry.sent,
            duration=entry.duration,
            denied=denied,
            rule=rule,
            mtls=True,
            source_certificate=certificate_digest(entry.certificate),
            reporter="destination",
        ),
        side=Side.CALLEE,
        key=key_of("tcp", pair_of(entry.remote, entry.local), source, owner),
        end=entry.end,
    )


def _outbound_tcp(entry: Entry, owner: str) -> Report:
    destination = entry.destination or UNKNOWN
    denied, rule = caller_refusal(entry)
    pair = pair_of(entry.upstream_local, entry.upstream_remote)
    return Report(
        call=Call(
            time=entry.time,
            source=owner,
            destination=destination,
            source_instance=address_of(entry.remote),
            destination_instance=address_of(entry.upstream_remote),
            source_port=port_of(entry.upstream_local),
            destination_port=entry.port,
            protocol="tcp",
            request_bytes=entry.received,
            response_bytes=entry.sent,
            duration=entry.duration,
            denied=denied,
            rule=rule,
            reporter="source",
        ),
        side=Side.CALLER,
        key=key_of("tcp", pair, owner, destination),
        end=entry.end,
    )


def _refused_handshake(entry: Entry, owner: str) -> Report:
    """A connection on which no identity was proven: nothing got through."""
    return Report(
        call=Call(
            time=entry.time,
            source=UNKNOWN,
            destination=owner,
            source_instance=address_of(entry.remote),
            destination_instance=address_of(entry.local),
            source_port=port_of(entry.remote),
            destination_port=entry.port,
            protocol="tcp",
            request_bytes=entry.received,
            response_bytes=entry.sent,
            duration=entry.duration,
            denied=True,
            rule=handshake_rule(entry.failure),
            mtls=False,
            claimed=entry.peer,
            reporter="destination",
        ),
        side=Side.CALLEE,
        key=None,
        end=entry.end,
    )


class _Http(TypedDict):
    """The columns of a `Call` that only requests have."""

    protocol: str
    method: str | None
    status: int | None
    route: str | None


def _http(entry: Entry, destination: str, rule: str | None, naming: Naming) -> _Http:
    grpc = (entry.content_type or "").startswith("application/grpc")
    status = entry.status
    method = entry.method
    if grpc:
        status = entry.grpc_status if entry.grpc_status is not None else entry.status
        method = (entry.path or "").rpartition("/")[2][:128] or None
    return {
        "protocol": "grpc" if grpc else "http",
        "method": method,
        "status": status,
        "route": entry.path and naming.route(destination, rule, entry.path),
    }


@lru_cache(maxsize=4096)
def identity_of(peer: str | None) -> str | None:
    """Return `peer` where it is one SPIFFE ID (several URIs come joined by commas)."""
    try:
        return str(SpiffeId.parse(peer or ""))
    except InputError:
        return None


def certificate_digest(text: str | None) -> str | None:
    """Return `text` where it is the SHA-256 of a certificate."""
    return text if text and _SHA256.fullmatch(text) else None


def key_of(kind: str, token: str | None, source: str | None, destination: str) -> str | None:
    """Return what both sides' reports of one call have in common; None where it is not known."""
    return f"{kind} {token} {source} {destination}" if token and source else None
