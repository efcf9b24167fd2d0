"""What one gRPC call is to whoever answers it: a request, an answer or a state, a refusal."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol


class Code(IntEnum):
    """The status codes of gRPC that are used here."""

    OK = 0
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14


class Refusal(Exception):  # noqa: N818  # a status of gRPC, raised where it arises
    """The call ends with this status; `message` is shown to the caller."""

    def __init__(self, code: Code, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass(frozen=True, slots=True)
class Request:
    """One call as it arrived: path, metadata (the last of each name), and its message."""

    path: str
    metadata: Mapping[bytes, bytes]
    message: bytes


class Answers(Protocol):
    """What a connection asks, in the name of its one caller."""

    def unary(self, request: Request) -> bytes | None:
        """Return the answer; None where the method is a stream. Refusal where it is refused."""
        ...

    def state(self, request: Request) -> bytes:
        """Return the complete state that a stream shows now. Refusal ends the stream."""
        ...

    def may_open(self) -> bool:
        """Return whether the caller may have one more stream; count it if so."""
        ...

    def closed(self) -> None:
        """Take note that a stream of the caller has ended."""
        ...
