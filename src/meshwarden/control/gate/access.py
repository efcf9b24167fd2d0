"""Our own access policies in the gate: what is wrong or unwise in them becomes findings."""

from collections.abc import Callable, Iterator

from meshwarden.adapters.yaml import parse_document
from meshwarden.kernel import InputError
from meshwarden.kernel.finding import Severity
from meshwarden.policy import AccessPolicy, notices, parse_policy
from meshwarden.policy.gate.baseline import fingerprint
from meshwarden.policy.gate.model import Document, GateFinding

ERROR_FIX = "correct the policy: the control plane refuses it, and keeps the last good one"

Compare = Callable[[AccessPolicy, str], Iterator[GateFinding]]
"""Yields what a policy changes, given the policy and the file that it stands in."""


def access_findings(document: Document, compare: Compare | None = None) -> Iterator[GateFinding]:
    """Yield a critical finding for the first error of an access policy, else its notices.

    Args:
        document: the policy.
        compare: yields what else is to be said of a policy without errors.
    """
    padding = b"\n" * (document.line - 1 - _lead(document))  # so that lines are the file's
    try:
        policy = parse_policy(parse_document(padding + document.raw, name=document.source))
    except InputError as error:
        yield _finding(document, error.code, error.where, error.message, Severity.CRITICAL,
                       error.hint or ERROR_FIX)  # fmt: skip
        return
    for notice in notices(policy):
        yield _finding(document, notice.code, notice.where, notice.message, Severity.MEDIUM,
                       "narrow the rule, or remove it")  # fmt: skip
    if compare is not None:
        yield from compare(policy, document.source)


def _lead(document: Document) -> int:
    count = 0
    for line in document.raw.split(b"\n"):
        text = line.strip()
        if text and not text.startswith((b"#", b"%")) and text != b"---":
            break
        count += 1
    return count


def _finding(
    document: Document, code: str, where: str, message: str, severity: Severity, fix: str
) -> GateFinding:
    line = where.removeprefix(document.source).strip(":").partition(":")[0]
    return GateFinding(
        rule=f"access-policy/{code}",
        severity=severity,
        message=message,
        fix=fix,
        source=document.source,
        line=int(line) if line.isdigit() else document.line,
        object=document.source,
        fingerprint=fingerprint(f"access-policy/{code}", document.source, message),
    )
