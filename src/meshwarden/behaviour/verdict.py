"""An analyst's word that something is benign: whom it is about, how long it holds, who said so."""

from dataclasses import dataclass
from typing import Final

MAX_REASON: Final = 500
MAX_NAME: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """An analyst's word that something is benign; ValueError where it says too little or too much.

    Attributes:
        source: identity it is about.
        destination: only towards it; None for any.
        channel: only what this channel says; None for any.
        until: ns since the epoch; afterwards it no longer counts.
        reason, by: for the record; up to 500 and 100 characters.
    """

    source: str
    destination: str | None = None
    channel: str | None = None
    until: int
    reason: str
    by: str

    def __post_init__(self) -> None:
        if not 0 < len(self.reason) <= MAX_REASON:
            raise ValueError(f"a reason has 1 to {MAX_REASON} characters")
        if not 0 < len(self.by) <= MAX_NAME:
            raise ValueError(f"who says so has 1 to {MAX_NAME} characters")

    def covers(self, time: int, source: str, destination: str, channel: str) -> bool:
        """Return whether it speaks about such an alarm."""
        return (
            time < self.until
            and source == self.source
            and self.destination in {None, destination}
            and self.channel in {None, channel}
        )
