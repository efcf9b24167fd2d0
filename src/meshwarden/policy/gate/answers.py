"""Reads what rules return: texts, or objects with `msg`, `path` and `severity`."""

from typing import Any, Final

from meshwarden.kernel.finding import Severity
from meshwarden.policy.gate.model import Path, Violation

MAX_VIOLATIONS: Final = 1000
MAX_MESSAGE: Final = 500


class AnswerError(ValueError):
    """A rule returned something that is no list of violations."""


def parse_answer(rule: str, raw: Any) -> tuple[Violation, ...]:
    """Return the violations in `raw`, what `deny` of `rule` was; AnswerError where it is none."""
    if raw is None:
        return ()
    if not isinstance(raw, list):
        raise AnswerError("deny is no set")
    if len(raw) > MAX_VIOLATIONS:
        raise AnswerError(f"deny has more than {MAX_VIOLATIONS} entries")
    return tuple(_violation(rule, one) for one in raw)


def _violation(rule: str, raw: Any) -> Violation:
    if isinstance(raw, str):
        return Violation(rule=rule, message=raw[:MAX_MESSAGE])
    if not isinstance(raw, dict) or not isinstance(raw.get("msg"), str):
        raise AnswerError("an entry of deny has no msg")
    severity = raw.get("severity")
    if severity is not None and severity not in set(Severity):
        raise AnswerError(f"{str(severity)[:40]!r} is no severity")
    return Violation(
        rule=rule,
        message=raw["msg"][:MAX_MESSAGE],
        path=_path(raw.get("path", [])),
        severity=None if severity is None else Severity(severity),
    )


def _path(raw: Any) -> Path:
    if not isinstance(raw, list) or not all(isinstance(part, str | int) for part in raw):
        raise AnswerError("path is no list of keys and indices")
    return tuple(raw)
