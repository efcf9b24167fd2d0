"""An analyst's word that something is benign: whom it is about, how long it holds, who said so."""

from dataclasses import dataclass
from typing import Final

MAX_REASON: Final = 500
MAX_NAME: Final = 100
MAX_PARTY: Final = 2048


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """An analyst's word that something is benign; ValueError where it says too little or too much.

    Attributes:
        source: identity it is about; names have up to 2,048 characters.
        destination: only towards it; None for any.
        channel: only what this channel says; None for any.
        said: ns since the epoch; None where it was kept before that was on record.
        until: ns since the epoch; afterwards it no longer counts.
        reason, by: for the record; up to 500 and 100 characters.
    """

    source: str
    destination: str | None = None
    channel: str | None = None
    said: int | None = None
    until: int
    reason: str
    by: str

    def __post_init__(self) -> None:
        for name in (self.source, self.destination or "any", self.channel or "any"):
            if not _has(name, MAX_PARTY):
                raise ValueError(f"a name has 1 to {MAX_PARTY} characters")
        if not _is_time(self.until) or not (self.said is None or _is_time(self.said)):
            raise ValueError("it is said, or ends, at no time that there is")
        if not _has(self.reason, MAX_REASON):
            raise ValueError(f"a reason has 1 to {MAX_REASON} characters")
        if not _has(self.by, MAX_NAME):
            raise ValueError(f"who says so has 1 to {MAX_NAME} characters")

    def covers(self, time: int, source: str, destination: str, channel: str) -> bool:
        """Return whether it speaks about such an alarm."""
        return (
            time < self.until
            and source == self.source
            and self.destination in {None, destination}
            and self.channel in {None, channel}
        )


def _has(text: object, most: int) -> bool:
    return isinstance(text, str) and 0 < len(text) <= most


def _is_time(nanoseconds: object) -> bool:
    return type(nanoseconds) is int and 0 <= nanoseconds < 1 << 63
