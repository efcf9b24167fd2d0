"""How a command that stays says what happens: one line an event, on stderr, in logfmt."""

import sys

import structlog


def log_to_stderr() -> None:
    """Have every event written with its time (UTC), its level and its fields."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.LogfmtRenderer(key_order=["timestamp", "level", "event"]),
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
