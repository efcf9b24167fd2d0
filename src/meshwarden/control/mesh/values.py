"""Texts and addresses of a mesh file."""

import ipaddress
import re
from typing import Final

from meshwarden.control.mesh.model import Address
from meshwarden.kernel import Node

_HOST: Final = re.compile(
    r"(?=.{1,253}$)[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*"
)


def text_of(node: Node) -> str:
    """Return a text or whole number as text; floats and booleans lose their spelling in YAML."""
    value = node.value
    if isinstance(value, bool) or not isinstance(value, str | int) or "\0" in str(value):
        node.refuse(
            "mesh.text", f"{node.path} must be a text or a whole number", hint="put it in quotes"
        )
    return str(value)


def plain(node: Node) -> str:
    """Return a text that may be given to the operating system: without NUL."""
    text = node.text()
    if "\0" in text:
        node.refuse("mesh.text", f"{node.path} holds a NUL character")
    return text


def host_and_port(name: str, node: Node) -> tuple[str, int]:
    """Return the two of `node`'s IP:port; `name` and errors as for `address_of`."""
    found = address_of(name, node)
    return found.host, found.port


def address_of(name: str, node: Node) -> Address:
    """Return the address that `node` gives the host `name`.

    Raises:
        InputError: `mesh.outside` where `name` is no host name or the value is not IP:port.
    """
    if not _HOST.fullmatch(name):
        node.refuse("mesh.outside", f"{name[:80]!r} is not a host name", hint="lower case, no port")
    host, _, port = node.text().rpartition(":")
    try:
        address = str(ipaddress.ip_address(host.removeprefix("[").removesuffix("]")))
    except ValueError:
        address = ""
    if not address or not re.fullmatch(r"[0-9]{1,5}", port) or not 1 <= int(port) <= 65535:
        node.refuse(
            "mesh.outside", f"{node.path} is not IP:port", hint="for example 127.0.0.1:8443"
        )
    return Address(host=address, port=int(port))
