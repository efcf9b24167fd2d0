"""How `meshwarden calls` writes calls and sums for people."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from meshwarden.control.recording.summary import Summary


def rfc3339(time: int) -> str:
    """Return nanoseconds since the epoch as RFC 3339 in UTC.

    >>> rfc3339(1_700_000_000_123_456_789)
    '2023-11-14T22:13:20.123456789Z'
    """
    seconds, rest = divmod(time, 1_000_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:09d}Z"


def printable(text: str) -> str:
    r"""Return `text` as one line, control characters written out: names come from strangers.

    >>> printable("/a\n2026-01-01 forged")
    '/a\\n2026-01-01 forged'
    """
    return "".join(
        character if character.isprintable() else repr(character)[1:-1] for character in text
    )


def call_line(row: Mapping[str, Any]) -> str:
    """Return one call as one line."""
    what = " ".join(str(part) for part in (row["method"], row["route"]) if part) or row["protocol"]
    if row["protocol"] == "tcp" and row["destination_port"]:
        what = f"tcp {row['destination_port']}"
    verdict = "refused" if row["denied"] else "allowed"
    details = [f"by {row['rule']}" if row["rule"] else "", f"status {row['status']}"]
    details = [part for part in details if part and part != "status None"]
    if row["mtls"]:
        details.append("mTLS")
    if row["claimed"]:
        details.append(f"claimed {row['claimed']}")
    line = (
        f"{row['time'][:23]}Z  {row['source']} -> {row['destination']}  {what}  {verdict}"
        f"{' (' + ', '.join(details) + ')' if details else ''}"
    )
    return printable(line)


def summary_lines(found: Summary) -> list[str]:
    """Return the sums, one subject a line."""
    if found.first is None or found.last is None:
        return ["no calls"]
    share = "unknown" if found.mtls_share is None else f"{found.mtls_share:.1%}"
    half, most = found.quantile(0.5), found.quantile(0.99)
    lines = [
        f"calls        {found.calls:,} from {rfc3339(found.first)} to {rfc3339(found.last)}",
        f"refused      {found.refused:,}",
        f"mutual TLS   {share} of allowed calls between services",
        "protocols    " + ", ".join(f"{k} {n:,}" for k, n in found.protocols.items()),
    ]
    if half is not None and most is not None:
        lines.append(f"duration     p50 {half / 1e6:.2f} ms, p99 {most / 1e6:.2f} ms (within 5 %)")
    lines += [f"refused by   {rule}: {count:,}" for rule, count in found.refused_by.items()]
    width = max((len(name) for name in found.services), default=0)
    lines += [
        f"service      {name:<{width}}  {counts['calls']:,} calls, {counts['refused']:,} refused"
        for name, counts in found.services.items()
    ]
    return [printable(line) for line in lines]


def counted(count: int, noun: str) -> str:
    """Return how many of what.

    >>> counted(1, "finding"), counted(1200, "finding")
    ('1 finding', '1,200 findings')
    """
    return f"{count:,} {noun}{'s' * (count != 1)}"
