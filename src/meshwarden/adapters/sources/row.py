"""`Row`: the known columns of one call, and the `Decoder` that every log format provides.

A row is a plain dict because a million of them are built each quarter of a minute; what is in it
was checked by the format's codec. Columns that a format does not know are simply absent.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NoReturn, Protocol, TypedDict

from meshwarden.kernel import InputError

CLUSTER_DOMAIN: Final = "cluster.local"
MAX_LINE_BYTES: Final = 64 * 1024
INT64_MAX: Final = 2**63 - 1


class Row(TypedDict, total=False):
    """Columns of `CALL_SCHEMA` in nanoseconds and octets, and two that are none of it.

    `path` is a raw path that still has to become a route (absent where `route` is given). `id` is
    what the source says is unique to the record: a repeated line with an id is a duplicate.
    """

    time: int
    source: str
    destination: str
    source_instance: str | None
    destination_instance: str | None
    source_port: int | None
    destination_port: int | None
    protocol: str
    method: str | None
    route: str | None
    path: str | None
    status: int | None
    request_bytes: int | None
    response_bytes: int | None
    duration: int | None
    denied: bool
    rule: str | None
    mtls: bool | None
    claimed: str | None
    source_certificate: str | None
    shape: str | None
    transaction: str | None
    session: str | None
    release: str | None
    reporter: str
    id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What a log does not say itself.

    Attributes:
        owner: party whose log it is (the workload behind the proxy); None where nobody knows.
        instance: its pod or host.
        trust_domain: of identities that come without one.
        folder: name of the folder that holds the log.
        reporter: for formats that do not say whose account a record is.
    """

    owner: str | None = None
    instance: str | None = None
    trust_domain: str = CLUSTER_DOMAIN
    folder: str | None = None
    reporter: str = "import"


class Decoder(Protocol):
    """Turns the lines of one log into rows; it may remember earlier lines, in bounded memory."""

    def decode(self, line: bytes) -> Sequence[Row]:
        """Return the calls that `line` completes; InputError `source.line` where it is broken."""
        ...

    def finish(self) -> Sequence[Row]:
        """Return what was still waiting for lines that never came."""
        ...


class JoiningDecoder(Decoder, Protocol):
    """A decoder whose calls may begin in one log and end in another."""

    def joined(self, context: Context) -> "JoiningDecoder":
        """Return the decoder of another log of the same run; `finish` of either ends both."""
        ...


def refuse(why: str) -> NoReturn:
    """Raise the InputError of a line that breaks its format; `why` is counted, so keep it short."""
    raise InputError("source.line", why, where="line")
