"""What an Envoy's fields mean: canonical fields into a `Row`.

- The caller is who its certificate proved it to be: an HTTP request that was read came out of a
  handshake that ended well. A connection proves its peer by octets only; a certificate on one that
  carried none goes to `claimed`.
- Without a certificate the caller is `unknown` or, from a public address, `external:`. Headers such
  as X-Forwarded-For are never believed.
- The callee is, best first: the upstream's certificate, the log's owner where the request came in
  to it, the cluster's name, the authority.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

from meshwarden.adapters.envoy.foreign.refusals import refusal_of
from meshwarden.adapters.sources.fields import (
    address_of,
    count_of,
    scaled,
    text_of,
    time_of,
    usual_address,
)
from meshwarden.adapters.sources.parties import address_party, host_party, named, principal
from meshwarden.adapters.sources.row import Context, Row
from meshwarden.kernel import EXTERNAL, UNKNOWN

_MS: Final = 1_000_000
_SHA256: Final = re.compile(r"[0-9a-f]{64}")


def row_of(fields: Mapping[str, Any], context: Context) -> Row:
    """Return the call that `fields` report; InputError `source.line` where one does not fit."""
    row = side_of(fields, context)
    upstream = row.get("destination_instance")
    row["destination"] = _destination(fields, context, upstream)
    return row


def side_of(fields: Mapping[str, Any], context: Context) -> Row:
    """Return all of a row but who the callee is; InputError `source.line`."""
    get = fields.get
    method = text_of(get("method"), "method")
    remote, remote_port = address_of(text_of(get("remote"), "remote address"))
    upstream, upstream_port = usual_address(text_of(get("upstream"), "upstream"))
    received = count_of(get("received"), "request_bytes")
    sent = count_of(get("sent"), "response_bytes")
    denied, rule = refusal_of(text_of(get("details"), "details"), text_of(get("flags"), "flags"))
    row: Row = {
        "time": time_of(get("time")),
        "source": address_party(remote),
        "source_instance": remote,
        "destination_instance": upstream,
        "source_port": remote_port,
        "request_bytes": received,
        "response_bytes": sent,
        "duration": scaled(get("duration"), "duration", _MS),
        "denied": denied,
        "rule": rule or text_of(get("rule"), "rule"),
        "reporter": context.reporter,
        "id": text_of(get("id"), "request id"),
    }
    if "release" in fields:
        row["release"] = text_of(get("release"), "release")
    if method is None:
        row["protocol"] = "tcp"
        local_port = usual_address(text_of(get("local"), "local address"))[1]
        row["destination_port"] = upstream_port if local_port is None else local_port
    else:
        _http(row, fields, method)
    if "peer" in fields:
        _peer(row, fields, proven=method is not None or bool(received or sent or rule))
    return row


def _http(row: Row, fields: Mapping[str, Any], method: str) -> None:
    path = text_of(fields.get("path"), "path")
    row["path"] = path
    row["method"] = method
    row["protocol"] = "http"
    row["status"] = count_of(fields.get("status"), "status", 999) or None  # 0: no response
    kind = fields.get("content_type")
    if "grpc" not in fields and kind is None:
        return
    grpc = _grpc_status(fields)
    if grpc is not None or (isinstance(kind, str) and kind.startswith("application/grpc")):
        row["protocol"] = "grpc"
        row["method"] = (path or "").rpartition("/")[2][:128] or None
        row["status"] = grpc if grpc is not None else row["status"]


def _grpc_status(fields: Mapping[str, Any]) -> int | None:
    """Envoy writes it as a number or as a name, which is the operator's choice."""
    raw = fields.get("grpc")
    if isinstance(raw, str) and not raw.isdigit():
        return _GRPC.get(raw.replace("_", "").lower())
    return count_of(raw, "grpc status", 999)


def _peer(row: Row, fields: Mapping[str, Any], *, proven: bool) -> None:
    raw = text_of(fields.get("peer"), "peer")
    if raw is None:
        if row.get("method") is not None:
            row["mtls"] = False  # the log asks for the certificate, and there was none
        return
    identity = principal(raw)
    if not proven or text_of(fields.get("downstream_failure"), "failure") is not None:
        row["mtls"] = False
        row["claimed"] = identity or raw
        return
    if identity is not None:
        row["source"], row["mtls"] = identity, True
    digest = text_of(fields.get("certificate"), "certificate")
    if digest is not None and _SHA256.fullmatch(digest):
        row["source_certificate"] = digest


def _destination(fields: Mapping[str, Any], context: Context, upstream: str | None) -> str:
    for name in ("own", "callee"):
        identity = principal(text_of(fields.get(name), name))
        if identity is not None:
            return identity
    if context.owner is not None:
        return context.owner
    cluster = text_of(fields.get("cluster"), "cluster")
    if cluster is not None and "|" not in cluster:
        return named(cluster) or UNKNOWN
    return _by_authority(text_of(fields.get("authority"), "authority"), upstream)


@lru_cache(maxsize=16_384)
def _by_authority(authority: str | None, upstream: str | None) -> str:
    """A name with dots that leads to a private address is a name of the own network."""
    host = address_of(authority)[0]
    party = host_party(host)
    if host and party.startswith(EXTERNAL) and upstream and address_party(upstream) == UNKNOWN:
        return named(host.lower()) or UNKNOWN
    return party


_GRPC: Final = {
    name: number
    for number, name in enumerate(
        (  # noqa: SIM905  # seventeen words read best as words
            "ok canceled unknown invalidargument deadlineexceeded notfound alreadyexists"
            " permissiondenied resourceexhausted failedprecondition aborted outofrange"
            " unimplemented internal unavailable dataloss unauthenticated"
        ).split()
    )
}
