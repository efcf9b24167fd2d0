"""Istio's access logs into rows: JSON and the default text, both directions.

The name of the upstream cluster says whose account a line is: `outbound|9080||reviews.shop.svc...`
is the caller's and names the service called; `inbound|9080||` is the callee's. Inbound, the server
name that the caller asked for (`outbound_.9080_._.reviews.shop.svc...`) names the callee, until the
log has its own certificate's name. Traffic past all known services is `PassthroughCluster`; what
`REGISTRY_ONLY` refuses is `BlackHoleCluster`.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

from meshwarden.adapters.envoy.foreign.json_codec import parse_json_fields
from meshwarden.adapters.envoy.foreign.meaning import row_of, side_of
from meshwarden.adapters.envoy.foreign.text_codec import ISTIO, parse_text_fields
from meshwarden.adapters.sources.decoder import LineDecoder
from meshwarden.adapters.sources.fields import address_of, text_of
from meshwarden.adapters.sources.parties import address_party, host_party, principal
from meshwarden.adapters.sources.row import Context, Row
from meshwarden.kernel import EXTERNAL, UNKNOWN

_SNI: Final = re.compile(r"outbound_\.(\d{1,5})_\.[^_]*_\.([a-z0-9.-]{1,253})")


def istio_json(context: Context) -> LineDecoder:
    """Return the decoder of `accessLogEncoding: JSON`."""
    return LineDecoder(lambda line: istio_row(parse_json_fields(line), context))


def istio_text(context: Context) -> LineDecoder:
    """Return the decoder of `accessLogEncoding: TEXT`."""
    return LineDecoder(lambda line: istio_row(parse_text_fields(line, ISTIO), context))


def istio_row(fields: Mapping[str, Any], context: Context) -> Row:
    """Return the call that an Istio proxy's fields report; InputError `source.line`."""
    cluster = text_of(fields.get("cluster"), "cluster")
    direction, port, host = cluster_of(cluster)
    if direction is None:
        return row_of(fields, context)
    row = side_of(fields, context)
    if direction == "inbound":
        _inbound(row, fields, context, port)
    else:
        _outbound(row, fields, context, port, host)
        if cluster == "BlackHoleCluster":
            row["denied"], row["rule"] = True, "egress:not-listed"
    return row


@lru_cache(maxsize=16_384)
def cluster_of(name: str | None) -> tuple[str | None, int | None, str | None]:
    """Return direction, port and service host of a cluster's name; None for what it does not say.

    >>> cluster_of("outbound|9080|v1|reviews.shop.svc.cluster.local")
    ('outbound', 9080, 'reviews.shop.svc.cluster.local')
    """
    parts = (name or "").rstrip(";").split("|")
    if len(parts) == 4 and parts[0] in {"inbound", "outbound"}:
        port = parts[1]
        known = port.isascii() and port.isdigit() and len(port) <= 5 and int(port) <= 65535
        return parts[0], int(port) if known else None, parts[3].split(";")[0] or None
    if name == "InboundPassthroughCluster":
        return "inbound", None, None
    if name in {"PassthroughCluster", "BlackHoleCluster"}:
        return "outbound", None, None
    return None, None, None


def _inbound(row: Row, fields: Mapping[str, Any], context: Context, port: int | None) -> None:
    row["reporter"] = "destination"
    own = principal(text_of(fields.get("own"), "own"))
    row["destination"] = (
        own
        or _asked(text_of(fields.get("sni"), "sni"), context)
        or (context.owner or _service(fields, context))
    )
    if row["protocol"] == "tcp" and port is not None:
        row["destination_port"] = port


def _outbound(
    row: Row, fields: Mapping[str, Any], context: Context, port: int | None, host: str | None
) -> None:
    row["reporter"] = "source"
    row["source"] = context.owner or principal(text_of(fields.get("own"), "own")) or UNKNOWN
    row["mtls"] = None  # the caller's side knows of its own connection from the application only
    callee = principal(text_of(fields.get("callee"), "callee"))
    if callee is not None:
        row["destination"] = callee
    elif host is not None:
        row["destination"] = host_party(host, context.trust_domain)
    else:
        row["destination"] = _outside(fields)
    external = row["destination"].startswith(EXTERNAL)
    if row["protocol"] == "tcp" or external:
        row["destination_port"] = port or row.get("destination_port")


def _outside(fields: Mapping[str, Any]) -> str:
    """Past the known services the authority is the caller's word, and the address the truth."""
    upstream = address_of(text_of(fields.get("upstream"), "upstream"))[0]
    host = address_of(text_of(fields.get("authority"), "authority"))[0]
    named = host_party(host) if host else UNKNOWN
    return named if named.startswith(EXTERNAL) else address_party(upstream)


def _service(fields: Mapping[str, Any], context: Context) -> str:
    host = address_of(text_of(fields.get("authority"), "authority"))[0]
    party = host_party(host, context.trust_domain)
    return UNKNOWN if party.startswith(EXTERNAL) else party


@lru_cache(maxsize=16_384)
def _asked(server_name: str | None, context: Context) -> str | None:
    found = _SNI.fullmatch(server_name or "")
    return host_party(found.group(2), context.trust_domain) if found else None
