"""Lines of a sidecar's access log into `Entry` values: syntax, types and bounds, no meaning.

A line comes from a file that only the sidecar writes, but it carries what strangers sent (paths,
authorities, certificates), and a crash can tear it. So every field is checked, and a line that
breaks the format is an InputError `accesslog.line`, never a guess.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NoReturn

from meshwarden.adapters.envoy.accesslog import Kind
from meshwarden.kernel import InputError
from meshwarden.policy.targets.envoy.token_metadata import ONCE

MAX_LINE_BYTES: Final = 64 * 1024
_MAX_TEXT: Final = 8192
_INT64: Final = 2**63 - 1
_KINDS: Final = {kind.value: kind for kind in Kind}
_TEXTS: Final = {  # by name in the log, the attribute; `end` stands for `details` of connections
    "flags": "flags", "details": "details", "end": "end", "remote": "remote", "local": "local",
    "method": "method", "path": "path", "type": "content_type", "call": "call", "peer": "peer",
    "cert": "certificate", "fail": "failure", "authority": "authority", "to": "destination",
    "why": "refusal", "rule": "rule", "ufail": "upstream_failure", "ulocal": "upstream_local",
    "uremote": "upstream_remote", "txn": "transaction",
}  # fmt: skip


def _constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


_JSON: Final = json.JSONDecoder(parse_constant=_constant)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line of the log. Times and durations in nanoseconds, sizes in octets; None = not logged.

    Attributes:
        time: start of the request or connection, since the epoch.
        peer: URI of the certificate that arrived; a claim, unless `handshake` or octets prove it.
        handshake: whether the TLS handshake is known to have ended well (never known for tcp).
        failure: why the handshake with the caller failed.
        upstream_failure: why the handshake with the callee failed.
        call: id of the hop, from `CALL_HEADER`.
        destination: what the route says that it leads to.
        refusal: the rule that the route names for its refusal.
        rule: the deciding rule, from RBAC's metadata.
        transaction: that of a verified transaction token.
    """

    kind: Kind
    time: int
    duration: int | None = None
    flags: str | None = None
    details: str | None = None
    remote: str | None = None
    local: str | None = None
    received: int = 0
    sent: int = 0
    status: int | None = None
    grpc_status: int | None = None
    method: str | None = None
    path: str | None = None
    content_type: str | None = None
    call: str | None = None
    peer: str | None = None
    certificate: str | None = None
    handshake: bool = False
    failure: str | None = None
    authority: str | None = None
    destination: str | None = None
    refusal: str | None = None
    rule: str | None = None
    port: int | None = None
    upstream_failure: str | None = None
    upstream_local: str | None = None
    upstream_remote: str | None = None
    transaction: str | None = None

    @property
    def end(self) -> int:
        """When it was over, since the epoch."""
        return self.time + (self.duration or 0)


def parse_entry(line: bytes) -> Entry:
    """Return what `line` says; InputError `accesslog.line` where it breaks the format."""
    if len(line) > MAX_LINE_BYTES:
        _refuse(f"longer than {MAX_LINE_BYTES} bytes")
    try:
        text = line.decode().strip()
        found, end = _JSON.raw_decode(text)
    except RecursionError:
        _refuse("nested too deeply")
    except ValueError as error:  # covers UnicodeDecodeError and over-long integers
        _refuse(f"not JSON: {str(error)[:80]}")
    if end != len(text):
        _refuse("not JSON: something follows it")
    if not isinstance(found, dict):
        _refuse("not an object")
    return _entry(found)


def _entry(found: Mapping[str, object]) -> Entry:
    kind = _KINDS.get(_text(found, "kind") or "")
    if kind is None:
        _refuse(f"unknown kind {str(found.get('kind'))[:40]!r}")
    texts = {}
    for name, value in found.items():  # what was not logged is absent
        field = _TEXTS.get(name)
        if field is None:
            continue
        if type(value) is str and 1 < len(value) <= _MAX_TEXT and value.isascii():
            texts[field] = value  # as nearly all are; what follows is for the others
        elif (text := _checked(value, name)) is not None:
            texts[field] = text
    details, end, rule = (texts.pop(name, None) for name in ("details", "end", "rule"))
    return Entry(
        kind=kind,
        time=_time(found),
        duration=_duration(found),
        details=details or end,
        received=_number(found, "rx") or 0,
        sent=_number(found, "tx") or 0,
        status=_number(found, "status", 999),
        grpc_status=_number(found, "grpc", 999),
        handshake=_number(found, "hs") is not None,
        rule=deciding_rule(rule),
        port=_port(found),
        **texts,
    )


def deciding_rule(logged: str | None) -> str | None:
    """Return the rule's own name: the filter adds to it where the token counts once."""
    return logged and logged.removesuffix(ONCE)


def _text(found: Mapping[str, object], name: str) -> str | None:
    return _checked(found.get(name), name)


def _checked(value: object, name: str) -> str | None:
    """Return `value` as text that can be stored; None where it says nothing."""
    if value is None:
        return None
    if not isinstance(value, str):
        _refuse(f"{name} is no text")
    if value in {"", "-"}:
        return None
    if len(value) > _MAX_TEXT:
        _refuse(f"{name} is longer than {_MAX_TEXT} characters")
    # A lone surrogate (an escape such as \ud800) cannot be stored; what it stood for is unknown.
    return value if value.isascii() else value.encode("utf-8", "replace").decode("utf-8")


def _number(found: Mapping[str, object], name: str, most: int = _INT64) -> int | None:
    value = found.get(name)
    if value is None or (type(value) is int and 0 <= value <= most):
        return value
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= most:
        _refuse(f"{name} is no whole number from 0 to {most}")
    return value


def _time(found: Mapping[str, object]) -> int:
    text = _text(found, "start") or ""
    if not (text.isascii() and text.isdigit() and len(text) <= 19 and 0 < int(text) <= _INT64):
        _refuse("start is no time in nanoseconds")
    return int(text)


def _duration(found: Mapping[str, object]) -> int | None:
    exact = _number(found, "ns")  # absent where the response was cut off
    if exact is not None:
        return exact
    coarse = _number(found, "ms", _INT64 // 1_000_000)
    return None if coarse is None else coarse * 1_000_000


def _port(found: Mapping[str, object]) -> int | None:
    raw = found.get("port")  # a number where Envoy filled it in, a text where we did
    text = str(raw) if isinstance(raw, int) else _text(found, "port")
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and int(text) <= 65535):
        _refuse("port is no port")
    return int(text)


def _refuse(why: str) -> NoReturn:
    raise InputError("accesslog.line", why, where="access log")
