"""What the recorder cannot do at the moment, and its findings about itself, none twice a minute."""

from collections.abc import Callable
from typing import Final

from meshwarden.control.recording.merge import SECOND
from meshwarden.kernel import Clock, Finding, Severity

_SAY_AGAIN_S: Final = 60
Doing = tuple[str, str]
"""What is tried, and with what: `("read", "ledger")`."""
WRITE: Final[Doing] = ("write", "record")
TIDY: Final[Doing] = ("tidy", "record")


class Troubles:
    """What fails until it works again, and what is said.

    Args:
        clock: time of day.
        report: takes findings.
    """

    def __init__(self, clock: Clock, report: Callable[[Finding], None]) -> None:
        self._clock = clock
        self._report = report
        self._said: dict[tuple[str, str], int] = {}
        self._since: dict[Doing, int] = {}
        self._why: dict[Doing, str] = {}

    @property
    def first(self) -> str | None:
        """What has failed longest, in words; None where all is well."""
        return next(iter(self._why.values()), None)

    def since(self, doing: Doing) -> int | None:
        """Return since when `doing` fails, ns since the epoch; None where it works."""
        return self._since.get(doing)

    def fail(self, doing: Doing, sentence: str) -> None:
        """Note, and say, that `doing` fails."""
        now = nanoseconds(self._clock)
        self._since[doing] = min(now, self._since.get(doing, now))  # a clock that was set back
        self._why[doing] = sentence
        self.say("record.trouble", doing[1], sentence, Severity.HIGH)

    def mend(self, doing: Doing) -> None:
        """Note that `doing` works."""
        self._since.pop(doing, None)
        self._why.pop(doing, None)

    def say(self, code: str, subject: str, sentence: str, severity: Severity) -> None:
        """Report a finding, unless the same was said of the same subject within a minute."""
        now = nanoseconds(self._clock)
        last = self._said.get((code, subject))
        if last is not None and 0 <= now - last < _SAY_AGAIN_S * SECOND:
            return
        self._said[(code, subject)] = now
        self._report(
            Finding(time=now, code=code, subject=subject, severity=severity, sentence=sentence)
        )


def nanoseconds(clock: Clock) -> int:
    """Return the time of day in nanoseconds since the epoch."""
    now = clock.now()
    return int(now.timestamp()) * SECOND + now.microsecond * 1000
