"""Linkerd's proxy access log into rows, JSON and Apache.

The proxy logs what comes in, so the reporter is the callee. `client.id` is the identity that mutual
TLS proved, `-` or empty where there was none. The callee's identity is not in the log: it is the
log's owner, or else the host that the caller asked for. Numbers come as strings but for `status`.

Source: Linkerd, "HTTP Access Logging" (annotation `config.linkerd.io/access-log`).
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

from meshwarden.adapters.sources.decoder import LineDecoder
from meshwarden.adapters.sources.fields import (
    address_of,
    count_of,
    decode_text,
    parse_object,
    text_of,
    time_of,
)
from meshwarden.adapters.sources.parties import address_party, host_party, principal
from meshwarden.adapters.sources.row import Context, Row, refuse

APACHE: Final = re.compile(
    r"(?P<addr>\S+) (?P<id>\S+) \S+ \[(?P<timestamp>[^\]]{1,64})\]"
    r' "(?P<method>[^" ]+) (?P<uri>[^" ]*) (?P<version>HTTP/[\d.]+)" (?P<status>\d{3})'
)


def linkerd_json(context: Context) -> LineDecoder:
    """Return the decoder of `access-log: json`."""
    return LineDecoder(lambda line: row_of(parse_object(line), context))


def linkerd_text(context: Context) -> LineDecoder:
    """Return the decoder of `access-log: apache`: no sizes, no durations."""
    return LineDecoder(lambda line: row_of(_apache(line), context))


def looks_like_linkerd(found: Mapping[str, Any]) -> bool:
    """Return whether an object is a line of this log."""
    return "client.addr" in found and "timestamp" in found and "uri" in found


def row_of(found: Mapping[str, Any], context: Context) -> Row:
    """Return the call that one object reports; InputError `source.line`."""
    uri = text_of(found.get("uri"), "uri")
    host, path = _split(uri)
    host = address_of(text_of(found.get("host"), "host"))[0] or host
    client = text_of(found.get("client.id"), "client.id")
    identity = principal(client)
    address, _ = address_of(text_of(found.get("client.addr"), "client.addr"))
    if client is not None and identity is None:
        refuse("client.id is no identity")
    return {
        "time": time_of(found.get("timestamp")),
        "source": identity or address_party(address),
        "source_instance": address,
        "destination": context.owner or host_party(host, context.trust_domain),
        "destination_instance": context.instance,
        "protocol": "http",
        "method": text_of(found.get("method"), "method"),
        "path": path,
        "status": count_of(found.get("status"), "status", 999),
        "request_bytes": count_of(found.get("request_bytes") or None, "request_bytes"),
        "response_bytes": count_of(found.get("response_bytes") or None, "response_bytes"),
        "duration": count_of(found.get("total_ns") or None, "duration"),
        "mtls": identity is not None,
        "reporter": "destination",
        # The time has nanoseconds: the same line twice is the same request twice.
        "id": "line",
    }


def _apache(line: bytes) -> dict[str, Any]:
    found = APACHE.fullmatch(decode_text(line).rstrip())
    if found is None:
        refuse("not in the access log's Apache format")
    fields = found.groupdict()
    return {**fields, "client.addr": fields["addr"], "client.id": fields["id"]}


@lru_cache(maxsize=16_384)
def _split(uri: str | None) -> tuple[str | None, str | None]:
    """Return host and path of an absolute or relative URI."""
    if not uri:
        return None, None
    if "://" not in uri[:12]:
        return None, uri
    authority, slash, rest = uri.partition("://")[2].partition("/")
    return address_of(authority)[0], slash + rest if slash else "/"
