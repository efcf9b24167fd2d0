"""What the keys of somebody else's JSON access log mean: by the names that operators use.

Envoy lets operators name the fields of a JSON log as they like; these are the names of Istio, of
Envoy's documentation, of Contour, Gloo and Envoy Gateway, and of the command operators themselves.
Spelling differences (case, `_`, `-`, `.`, `:`) do not count.
"""

import re
from collections.abc import Callable
from functools import lru_cache
from operator import itemgetter
from typing import Any, Final

_NOISE: Final = re.compile(r"[^a-z0-9]")
_NAMES: Final = """
time: starttime timestamp time ts start date eventtime
method: method requestmethod httpmethod reqmethod verb httprequestmethod
path: xenvoyoriginalpath originalpath path requestpath httppath uripath urlpath uri url
    requesturi
protocol: protocol httpprotocol requestprotocol
status: responsecode status statuscode httpstatus httpstatuscode responsestatus code
    httpresponsestatuscode
grpc: grpcstatus grpcstatusnumber grpcstatuscode grpc
flags: responseflags responseflag flags
details: responsecodedetails details responsedetails
termination: connectionterminationdetails
failure: upstreamtransportfailurereason upstreamfailurereason
downstream_failure: downstreamtransportfailurereason
received: bytesreceived requestbytes bytesin requestsize bytesrecv rx
sent: bytessent responsebytes bytesout responsesize tx
duration: duration durationms totalduration totaldurationms responsetime latencyms
authority: authority requestauthority host httphost reqauthority
remote: downstreamremoteaddress downstreamdirectremoteaddress remoteaddress clientaddress
    downstreamaddress clientip remoteip sourceaddress downstreamremoteaddresswithoutport
    downstreamhost
local: downstreamlocaladdress localaddress
upstream: upstreamhost upstreamremoteaddress upstreamaddress
cluster: upstreamclusterraw upstreamcluster cluster clustername
sni: requestedservername servername sni
id: requestid xrequestid reqid
content_type: contenttype requestcontenttype reqcontenttype
peer: downstreampeerurisan peerurisan downstreampeer peer sourceprincipal peerprincipal
    clientprincipal sourceidentity
own: downstreamlocalurisan localurisan destinationprincipal
callee: upstreampeerurisan upstreampeer
certificate: downstreampeerfingerprint256 peerfingerprint256 downstreampeerfingerprint
    clientcertsha256 peercertificatesha256
rule: rbacpolicy shadowpolicy matchedpolicy rule
release: sourceversion release
"""


def _table(text: str) -> dict[str, tuple[str, int]]:
    """Return meaning and rank by name; a line that is indented goes on with the one before."""
    found: dict[str, tuple[str, int]] = {}
    for line in text.replace("\n    ", " ").split("\n"):
        meaning, _, names = line.partition(":")
        found |= {name: (meaning, rank) for rank, name in enumerate(names.split())}
    return found


_MEANING: Final = _table(_NAMES)


@lru_cache(maxsize=1024)
def plan_of(keys: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """Return (canonical name, key) for the keys of one log line; the more usual name wins."""
    best: dict[str, tuple[int, str]] = {}
    for key in keys:
        found = _MEANING.get(_NOISE.sub("", key.lower()))
        if found is None:
            continue
        meaning, rank = found
        if meaning not in best or rank < best[meaning][0]:
            best[meaning] = (rank, key)
    return tuple((meaning, key) for meaning, (_, key) in best.items())


@lru_cache(maxsize=1024)
def reader_of(keys: tuple[str, ...]) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Return what takes the known ones of a line with `keys`, under canonical names."""
    plan = plan_of(keys)
    if len(plan) < 2:
        return lambda found: {meaning: found[key] for meaning, key in plan}
    names, values_of = [meaning for meaning, _ in plan], itemgetter(*(key for _, key in plan))
    return lambda found: dict(zip(names, values_of(found)))  # noqa: B905  # of one length
