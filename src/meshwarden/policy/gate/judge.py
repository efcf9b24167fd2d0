"""Turns violations into findings: place, severity, waivers, baseline, frame."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date

from meshwarden.kernel.finding import Severity
from meshwarden.policy.gate.baseline import fingerprint, stable_path
from meshwarden.policy.gate.model import (
    Document,
    GateFinding,
    Path,
    Rule,
    Subject,
    Suppression,
    Violation,
)
from meshwarden.policy.gate.settings import MIN_REASON, Settings, Waiver

INLINE = "waive.meshwarden.dev/"
"""Prefix of the annotation that waives a rule for its object; the value is the reason."""

Locate = Callable[[Document, Iterable[Path]], Mapping[Path, tuple[int, int, int]]]
"""Line, column, last line of each path in a document."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judge:
    """What findings are made by.

    Attributes:
        rules: by id.
        settings: the configuration.
        baseline: fingerprints of old findings.
        today: waivers end by this day.
    """

    rules: Mapping[str, Rule]
    settings: Settings
    baseline: frozenset[str] = frozenset()
    today: date

    def findings(
        self, subject: Subject, violations: Sequence[Violation], locate: Locate
    ) -> Iterator[GateFinding]:
        """Yield a finding for each violation, without frame."""
        if not violations:
            return
        paths = {one: subject.path_in_document(one.path) for one in violations}
        places = locate(subject.document, paths.values())
        for violation, path in paths.items():
            yield self._finding(subject, violation, places[path])

    def _finding(
        self, subject: Subject, violation: Violation, place: tuple[int, int, int]
    ) -> GateFinding:
        rule = self.rules[violation.rule]
        source = subject.document.source
        name = subject.object or source
        stable = stable_path(subject.value, violation.path)
        mark = fingerprint(rule.id, name, f"{stable}|{violation.message}")
        found = GateFinding(
            rule=rule.id,
            severity=self._severity(rule, violation),
            message=violation.message,
            fix=rule.fix,
            source=source,
            line=place[0],
            column=place[1],
            last_line=place[2],
            object=name,
            path=".".join(map(str, violation.path)),
            fingerprint=mark,
            controls=rule.controls,
        )
        return self._suppressed(subject, found)

    def _severity(self, rule: Rule, violation: Violation) -> Severity:
        chosen = self.settings.severities
        override = chosen.get(rule.id, chosen.get(rule.id.rpartition("/")[2]))
        return override or violation.severity or rule.severity

    def _suppressed(self, subject: Subject, found: GateFinding) -> GateFinding:
        for waiver in self.settings.waivers:
            if waiver.expires >= self.today and waiver.covers(
                found.rule, subject.object, found.source
            ):
                reason = f"{waiver.reason} ({waiver.owner}, until {waiver.expires})"
                return replace(found, suppressed=Suppression.WAIVED, reason=reason)
        reason = inline_reason(subject, found.rule) if self.settings.inline_waivers else ""
        if reason:
            return replace(found, suppressed=Suppression.INLINE, reason=reason)
        return self.held_against_baseline(found)

    def held_against_baseline(self, found: GateFinding) -> GateFinding:
        """Return `found`, suppressed where it is an old one."""
        if found.fingerprint in self.baseline:
            return replace(found, suppressed=Suppression.BASELINE)
        return found


def inline_reason(subject: Subject, rule: str) -> str:
    """Return the reason by which the object's annotations waive `rule`; "" where they do not."""
    metadata = subject.value.get("metadata")
    notes = metadata.get("annotations") if isinstance(metadata, dict) else None
    if not isinstance(notes, dict):
        return ""
    reason = notes.get(INLINE + rule.rpartition("/")[2], "")
    return reason.strip() if isinstance(reason, str) and len(reason.strip()) >= MIN_REASON else ""


def expired(waivers: Iterable[Waiver], today: date) -> Iterator[GateFinding]:
    """Yield a critical finding for each waiver that has ended."""
    for waiver in waivers:
        if waiver.expires < today:
            source, _, line = waiver.where.rpartition(":")
            yield GateFinding(
                rule="gate/expired-waiver",
                severity=Severity.CRITICAL,
                message=f"the waiver of {waiver.rule} ended on {waiver.expires}"
                f" (owner {waiver.owner})",
                fix="correct what it waived and remove it, or have it renewed",
                source=source,
                line=int(line),
                fingerprint=fingerprint("gate/expired-waiver", waiver.rule, waiver.object),
            )
