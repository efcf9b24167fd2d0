"""`Span`: what one service says about one operation, as far as calls need it."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any


class Kind(IntEnum):
    """Span kinds of OTLP that stand at the edge of a service."""

    SERVER = 2
    CLIENT = 3
    PRODUCER = 4
    CONSUMER = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """One span. Times in nanoseconds since the epoch; ids in lower-case hex, "" = none.

    Attributes:
        resource: attributes of the service that made the span.
        attributes: of the span itself.
        links: (trace, span) that it refers to, besides its parent.
    """

    trace: str
    id: str
    parent: str
    kind: Kind
    name: str
    start: int
    end: int
    resource: Mapping[str, Any]
    attributes: Mapping[str, Any]
    links: tuple[tuple[str, str], ...] = ()
