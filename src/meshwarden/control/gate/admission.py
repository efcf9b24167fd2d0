"""Answers AdmissionReviews by the same rules, facts and waivers as the command."""

import threading
from dataclasses import dataclass, field
from typing import Any

from meshwarden.control.gate.evaluate import Evaluator
from meshwarden.control.gate.run import places
from meshwarden.kernel import Clock
from meshwarden.policy.gate.admission import Review, mode_of, parse_review, respond
from meshwarden.policy.gate.context import index
from meshwarden.policy.gate.judge import Judge
from meshwarden.policy.gate.model import GateFinding, Problem, Subject
from meshwarden.policy.gate.settings import Mode, Settings
from meshwarden.policy.gate.subjects import subjects_of


@dataclass(kw_only=True)
class Admitter:
    """Decides reviews, one at a time.

    Attributes:
        evaluator: the compiled rules, running.
        settings: lists, waivers, and the modes of namespaces.
        clock: waivers end by its day.
        own_namespace: is never judged, so that the webhook cannot lock itself out.
    """

    evaluator: Evaluator
    settings: Settings
    clock: Clock
    own_namespace: str
    _lock: threading.Lock = field(init=False, default_factory=threading.Lock)

    def answer(self, raw: bytes) -> dict[str, Any]:
        """Return the AdmissionReview that answers `raw`; InputError where it is malformed."""
        review = parse_review(raw)
        mode = mode_of(review, self.settings.admission, self.own_namespace)
        findings: list[GateFinding] = []
        problems: list[Problem] = []
        if mode is not Mode.EXEMPT and review.object is not None:
            self._judge(review, findings, problems)
        return respond(review, findings, problems, mode=mode, admission=self.settings.admission)

    def _judge(self, review: Review, findings: list[GateFinding], problems: list[Problem]) -> None:
        found = list(subjects_of(review.document()))
        problems += [one for one in found if isinstance(one, Problem)]
        subjects = [one for one in found if isinstance(one, Subject)]
        judge = Judge(
            rules={rule.id: rule for rule in self.evaluator.rules},
            settings=self.settings,
            today=self.clock.now().date(),
        )
        with self._lock:
            judged = list(self.evaluator.judge(subjects, index(subjects)))
        for subject, violations, failed in judged:
            findings += judge.findings(subject, violations, places)
            problems += failed
