"""Zeek's `conn.log` into rows, TSV and JSON.

Zeek knows addresses and no identities: a host of the own network becomes
`spiffe://imported.invalid/<address>`, any other `external:<address>`. Whose call it is, the sensor
tells by the first packet; where it did not see that one (`history` does not begin with the
originator's SYN), the server is told by its port. Sizes are octets of payload.

Source: Zeek, `base/protocols/conn/main.zeek` and the ASCII log writer's header lines.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from meshwarden.adapters.sources.fields import (
    count_of,
    decode_text,
    parse_object,
    scaled,
    text_of,
    time_of,
)
from meshwarden.adapters.sources.orient import Orienter
from meshwarden.adapters.sources.parties import host_of_network
from meshwarden.adapters.sources.row import Context, Row, refuse

_SECOND: Final = 1_000_000_000
_PROTOCOLS: Final = frozenset({"tcp", "udp", "icmp"})
_BOOLEANS: Final = {"T": True, "F": False, True: True, False: False}
_PORT: Final = 65_535
_ESCAPE: Final = re.compile(r"\\x([0-9a-fA-F]{2})")
_MAX_FIELDS: Final = 200


def looks_like_zeek(found: Mapping[str, Any]) -> bool:
    """Return whether an object is a line of a JSON `conn.log`."""
    return "id.orig_h" in found and "id.resp_h" in found and "proto" in found


def is_header(line: str) -> bool:
    """Return whether `line` begins a TSV log."""
    return line.startswith(("#separator ", "#fields"))


class ZeekDecoder:
    """One `conn.log`; implements `Decoder`. A TSV's header may come again, with other columns."""

    def __init__(self, context: Context) -> None:
        self._reporter = context.reporter if context.reporter != "import" else "zeek"
        self._orient = Orienter()
        self._header = _Header()

    def decode(self, line: bytes) -> Sequence[Row]:
        """Return the connection of `line`, none for header lines; InputError `source.line`."""
        text = decode_text(line)
        if text.startswith("#"):
            self._header.read(text)
            return ()
        found = parse_object(line) if text.startswith("{") else self._header.split(text)
        row = _row(found, self._reporter)
        history = found.get("history")
        seen = isinstance(history, str) and history.startswith(("S", "^"))
        return (row if seen else self._orient.turned(row),)

    def finish(self) -> Sequence[Row]:
        """Return nothing: no line waits for another."""
        return ()


class _Header:
    """What the `#` lines of a TSV log say."""

    def __init__(self) -> None:
        self._separator = "\t"
        self._unset = "-"
        self._fields: tuple[str, ...] = ()

    def read(self, line: str) -> None:
        """Take over one header line."""
        if line.startswith("#separator "):
            self._separator = _unescaped(line.removeprefix("#separator ").strip()) or "\t"
            return
        name, _, rest = line.rstrip("\r").partition(self._separator)
        if name == "#unset_field":
            self._unset = rest
        elif name == "#path" and rest != "conn":
            refuse("not a conn.log")
        elif name == "#fields":
            self._fields = tuple(rest.split(self._separator)[:_MAX_FIELDS])

    def split(self, line: str) -> dict[str, Any]:
        """Return the known values of a line of data."""
        if not self._fields:
            refuse("no #fields line before it")
        values = line.rstrip("\r").split(self._separator)
        if len(values) != len(self._fields):
            refuse("wrong number of columns")
        pairs = zip(self._fields, values, strict=True)
        return {name: value for name, value in pairs if value != self._unset}


def _unescaped(text: str) -> str:
    return _ESCAPE.sub(lambda found: chr(int(found.group(1), 16)), text)[:8]


def _row(found: Mapping[str, Any], reporter: str) -> Row:
    source = text_of(found.get("id.orig_h"), "id.orig_h")
    destination = text_of(found.get("id.resp_h"), "id.resp_h")
    if source is None or destination is None:
        refuse("no addresses")
    protocol = found.get("proto")
    icmp = protocol == "icmp"  # its "ports" are type and code
    return {
        "time": time_of(found.get("ts")),
        "source": host_of_network(source, local=_flag(found.get("local_orig"))),
        "destination": host_of_network(destination, local=_flag(found.get("local_resp"))),
        "source_instance": source,
        "destination_instance": destination,
        "source_port": None if icmp else count_of(found.get("id.orig_p"), "source_port", _PORT),
        "destination_port": (
            None if icmp else count_of(found.get("id.resp_p"), "destination_port", _PORT)
        ),
        "protocol": str(protocol) if str(protocol) in _PROTOCOLS else "other",
        "request_bytes": count_of(found.get("orig_bytes"), "request_bytes"),
        "response_bytes": count_of(found.get("resp_bytes"), "response_bytes"),
        "duration": scaled(found.get("duration"), "duration", _SECOND),
        "reporter": reporter,
        "id": text_of(found.get("uid"), "uid"),
    }


def _flag(value: object) -> bool | None:
    return _BOOLEANS.get(value) if isinstance(value, str | bool) else None
