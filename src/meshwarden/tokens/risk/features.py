"""From a request's context to an observation, and from values to the names that are kept of them.

Nothing raw is kept: each value goes through a keyed hash whose key belongs to the deployment, so
that the store alone does not tell addresses, devices or payees.
"""

import hashlib
import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, Final

from meshwarden.tokens.risk.model import Observation, RiskSettings

_BROWSERS: Final = (
    ("edge", "Edg"), ("opera", "OPR/"), ("samsung", "SamsungBrowser"), ("firefox", "Firefox/"),
    ("chrome", "Chrome/"), ("chrome", "CriOS/"), ("safari", "Safari/"), ("curl", "curl/"),
    ("python", "python"), ("okhttp", "okhttp"),
)  # fmt: skip
_SYSTEMS: Final = (
    ("android", "Android"), ("ios", "iPhone"), ("ios", "iPad"), ("windows", "Windows"),
    ("mac", "Mac OS X"), ("chromeos", "CrOS"), ("linux", "Linux"),
)  # fmt: skip
_MAX_ADDRESS: Final = 64  # characters, with a scope
_HINT: Final = re.compile(r'[\w .";=,/?-]{1,200}')
_JA4: Final = re.compile(r"[a-z0-9]{10}_[a-f0-9]{12}_[a-f0-9]{12}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Located:
    """What a database says about an address; None where it does not know."""

    network: str | None = None
    country: str | None = None
    place: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class Namer:
    """Names values so that they can be compared and not read; `secret` is the deployment's."""

    secret: bytes

    def name(self, kind: str, value: str) -> int:
        """Return 56 bits that stand for `value`."""
        raw = hashlib.blake2b(f"{kind}\0{value}".encode(), key=self.secret, digest_size=7)
        return int.from_bytes(raw.digest(), "big")

    def subject(self, subject: str) -> str:
        """Return the name under which a subject's history is kept, hexadecimal."""
        raw = hashlib.blake2b(f"subject\0{subject}".encode(), key=self.secret, digest_size=16)
        return raw.hexdigest()


def address_of(context: Mapping[str, Any]) -> str | None:
    """Return the client's address; None where the context has none that is one."""
    text = str(context.get("req_ip", ""))
    return _address(text) if len(text) <= _MAX_ADDRESS else None


@lru_cache(1024)
def _address(text: str) -> str | None:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return None


def observe_request(
    context: Mapping[str, Any],
    details: Mapping[str, Any],
    settings: RiskSettings,
    *,
    session: str | None,
    proven_at: int,
    now: datetime,
    located: Located,
    suspicion: float = 0.0,
) -> Observation:
    """Return what a request shows.

    Args:
        context: `req_ip`, `user_agent`, `ja4`, `client_hints` as the edge saw them.
        details: the operation's parameters.
        settings: which details are amount and payee.
        session: hash of the subject's session.
        proven_at: when the subject last proved themselves, seconds since the epoch.
        now: the time of day.
        located: what a database says about the address.
        suspicion: what findings about the carrying workload add.
    """
    address = address_of(context)
    moment = int(now.timestamp())
    agent = agent_family(context.get("user_agent"))
    return Observation(
        time=moment,
        address=address,
        network=located.network or prefix_of(address),
        country=located.country,
        place=located.place,
        agent=agent,
        device=_device(context, agent),
        session=session,
        session_age_s=max(0, moment - proven_at),
        amount=_amount(details.get(settings.amount)),
        payee=_payee(details.get(settings.payee)),
        suspicion=suspicion,
    )


def agent_family(user_agent: object) -> str | None:
    """Return browser and system without versions, which change by themselves.

    >>> agent_family("Mozilla/5.0 (X11; Linux x86_64) Chrome/126.0 Safari/537.36")
    'chrome/linux'
    """
    if not isinstance(user_agent, str) or not user_agent:
        return None
    text = user_agent[:512]
    browser = next((name for name, mark in _BROWSERS if mark in text), "other")
    system = next((name for name, mark in _SYSTEMS if mark in text), "other")
    return f"{browser}/{system}"


@lru_cache(1024)
def prefix_of(address: str | None) -> str | None:
    """Return the /16 (IPv4) or /32 (IPv6) that stands for the network where no database does."""
    if address is None:
        return None
    length = 16 if "." in address else 32
    return str(ipaddress.ip_network(f"{address}/{length}", strict=False))


def _device(context: Mapping[str, Any], agent: str | None) -> str | None:
    ja4, hints = context.get("ja4"), context.get("client_hints")
    shown = [
        str(ja4) if isinstance(ja4, str) and _JA4.fullmatch(ja4) else "",
        str(hints) if isinstance(hints, str) and _HINT.fullmatch(hints) else "",
    ]
    return "|".join([agent or "", *shown]) if any(shown) or agent else None


def _amount(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if 0 < value < 1e15 else None


def _payee(value: object) -> str | None:
    return value[:256] if isinstance(value, str) and value else None
