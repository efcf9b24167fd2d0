"""The machine's clock, as the port `Clock`."""

from datetime import UTC, datetime


class SystemClock:
    """The time of day that the operating system keeps."""

    def now(self) -> datetime:
        """Return the current time, aware, in UTC."""
        return datetime.now(UTC)
