"""Addresses and authorities as the access log writes them; strangers choose the authorities."""

import re
from typing import Final

from meshwarden.kernel import EXTERNAL, UNKNOWN

_HOST: Final = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,252})|\[[0-9a-f:.]{2,45}\]")


def pair_of(one: str | None, other: str | None) -> str | None:
    """Return both ends of a connection, named from the caller's; None where one is not known."""
    return f"{one}>{other}" if one and other else None


def address_of(text: str | None) -> str | None:
    """Return the address without its port; None for Unix sockets and internal listeners."""
    if text is None or ":" not in text:
        return None
    return text.rpartition(":")[0].strip("[]") or None


def port_of(text: str | None) -> int | None:
    """Return the port of an address or authority; None where there is none."""
    port = (text or "").rpartition(":")[2]
    known = port.isascii() and port.isdigit() and len(port) <= 5 and int(port) <= 65535
    return int(port) if known else None


def host_of(authority: str | None) -> tuple[str, int | None]:
    """Return host (lower case; "" where it is no host) and port of an authority."""
    host = (authority or "").lower()
    port = None
    if ":" in host and not host.endswith("]"):
        host, _, _ = host.rpartition(":")
        port = port_of(authority)
    return (host, port) if _HOST.fullmatch(host) else ("", port)


def external(host: str) -> str:
    """Return the party outside the mesh that `host` names."""
    return f"{EXTERNAL}{host}" if host else UNKNOWN
