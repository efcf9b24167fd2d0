"""Fingerprints, and the baseline file of findings that were there before the gate.

A fingerprint names rule, object (or file, where there is no object) and the offending key, with
names instead of numbers where list entries have them (`containers[name=web]`). So it survives moved
lines, renamed files and reordered lists, and changes when the object or the key does.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

from meshwarden.kernel import InputError
from meshwarden.policy.gate.model import GateFinding, Path

VERSION: Final = 1
_LENGTH = 32


def stable_path(value: Any, path: Path) -> str:
    """Return `path` in `value` as text, with the names of list entries instead of indices."""
    parts: list[str] = []
    for key in path:
        if isinstance(value, dict):
            parts.append(str(key))
            value = value.get(key)
        elif isinstance(value, list) and isinstance(key, int) and 0 <= key < len(value):
            value = value[key]
            parts.append(f"[{_label(value, key)}]")
        else:
            parts.append(str(key))
            value = None
    return ".".join(parts)


def _label(value: Any, index: int) -> str:
    if isinstance(value, dict):
        for key in ("name", "address", "host", "containerPort", "port"):
            if isinstance(value.get(key), str | int):
                return f"{key}={value[key]}"
    return str(index)


def fingerprint(rule: str, subject: str, path: str) -> str:
    """Return 32 hex digits."""
    text = json.dumps([VERSION, rule, subject, path])
    return hashlib.sha256(text.encode()).hexdigest()[:_LENGTH]


def render_baseline(findings: Iterable[GateFinding]) -> str:
    """Return the baseline file for `findings`: JSON, sorted, one line each, to review as a diff."""
    lines = sorted(
        json.dumps(
            {
                "fingerprint": one.fingerprint,
                "rule": one.rule,
                "object": one.object or one.source,
                "path": one.path,
            }
        )
        for one in {finding.fingerprint: finding for finding in findings}.values()
    )
    body = ",\n".join(f"  {line}" for line in lines)
    return f'{{"version": {VERSION}, "findings": [\n{body}\n]}}\n'


def parse_baseline(raw: bytes, *, where: str) -> frozenset[str]:
    """Return the fingerprints in a baseline file; InputError `gate.baseline` where it is none."""
    try:
        document = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise _no_baseline(where) from error
    found = document.get("findings") if isinstance(document, Mapping) else None
    if not isinstance(found, list) or document.get("version") != VERSION:
        raise _no_baseline(where)
    if not all(isinstance(one, dict) and isinstance(one.get("fingerprint"), str) for one in found):
        raise _no_baseline(where)
    return frozenset(one["fingerprint"] for one in found)


def _no_baseline(where: str) -> InputError:
    hint = "write one with --write-baseline"
    return InputError("gate.baseline", "no baseline of this version", where=where, hint=hint)
