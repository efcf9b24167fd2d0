"""Playbooks: on which incidents, which actions in which order, with whose approval, for how long.

```yaml
apiVersion: meshwarden.dev/v1
playbook: quarantine
when: {probability: 0.9, tiers: [1, 2], findings: ["behaviour.*"]}   # all optional
time_box: 4h
steps:
  - notify
  - quarantine
  - {action: replace, approvals: 1}
```

A playbook that cannot work is refused here, when it is loaded: unknown actions, an order in which
evidence is destroyed before it is kept, an action without what it requires.
"""

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final

from meshwarden.kernel import Node
from meshwarden.response.catalogue import CATALOGUE
from meshwarden.response.model import Incident

MAX_TIME_BOX_S: Final = 7 * 86400
_DURATION = re.compile(r"(\d{1,6})(s|m|h|d)")
_UNIT_S: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaybookStep:
    """One action, and how many different people have to approve it (0..2)."""

    action: str
    approvals: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Playbook:
    """What is done about an incident.

    Attributes:
        name: how incidents and people call it.
        min_probability: from which probability of compromise it applies, 0..1.
        tiers: the tiers of suspects that it is for; None = any.
        findings: patterns of finding codes, one of which must be met; None = any.
        time_box_s: after which what is reversible is released by itself.
        steps: in order.
    """

    name: str
    min_probability: float = 0.0
    tiers: frozenset[int] | None = None
    findings: tuple[str, ...] | None = None
    time_box_s: int
    steps: tuple[PlaybookStep, ...]

    def applies_to(self, incident: Incident, *, tier: int | None) -> bool:
        """Return whether it may be followed for `incident` about a service of `tier`."""
        codes = [finding.code for finding in incident.findings]
        return (
            incident.probability >= self.min_probability
            and (self.tiers is None or tier in self.tiers)
            and (
                self.findings is None
                or any(fnmatchcase(code, one) for code in codes for one in self.findings)
            )
        )


def parse_playbook(document: Node) -> Playbook:
    """Return the playbook of `document`.

    Raises:
        InputError: `playbook.*` or `document.*`, naming file and line.
    """
    fields = document.fields(
        required=["apiVersion", "playbook", "time_box", "steps"], optional=["when"]
    )
    if fields["apiVersion"].text() != "meshwarden.dev/v1":
        fields["apiVersion"].refuse("playbook.version", "apiVersion must be meshwarden.dev/v1")
    steps = tuple(_step(one) for one in fields["steps"].items())
    if not steps:
        fields["steps"].refuse("playbook.empty", "a playbook has at least one step")
    _check_order(fields["steps"], steps)
    when = fields.get("when")
    conditions = when.fields(optional=["probability", "tiers", "findings"]) if when else None
    probability = conditions.get("probability") if conditions else None
    tiers = conditions.get("tiers") if conditions else None
    findings = conditions.get("findings") if conditions else None
    return Playbook(
        name=fields["playbook"].text(),
        min_probability=probability.number(0, 1) if probability else 0.0,
        tiers=frozenset(one.integer(0, 9) for one in tiers.items()) if tiers else None,
        findings=tuple(findings.texts()) if findings else None,
        time_box_s=_duration_s(fields["time_box"]),
        steps=steps,
    )


def _step(node: Node) -> PlaybookStep:
    if isinstance(node.value, str):
        action, approvals = node, 0
    else:
        fields = node.fields(required=["action"], optional=["approvals"])
        wanted = fields.get("approvals")
        action, approvals = fields["action"], wanted.integer(0, 2) if wanted else 0
    if action.text() not in CATALOGUE:
        action.refuse(
            "playbook.unknown_action",
            f"no action is called {action.text()!r}",
            hint=f"known: {', '.join(CATALOGUE)}",
        )
    return PlaybookStep(action=action.text(), approvals=approvals)


def _check_order(node: Node, steps: tuple[PlaybookStep, ...]) -> None:
    names = [step.action for step in steps]
    for number, name in enumerate(names):
        place, spec = node.items()[number], CATALOGUE[name]
        if name in names[:number]:
            place.refuse("playbook.repeated", f"{name} stands twice")
        for needed in spec.requires:
            if needed not in names:
                place.refuse("playbook.requires", f"{name} needs {needed} before it")
        for earlier in spec.after:
            if earlier in names[number:]:
                place.refuse("playbook.order", f"{earlier} must come before {name}")


def _duration_s(node: Node) -> int:
    found = _DURATION.fullmatch(node.text())
    seconds = int(found[1]) * _UNIT_S[found[2]] if found else 0
    if not 1 <= seconds <= MAX_TIME_BOX_S:
        node.refuse(
            "playbook.time_box", "the time box is a duration from 1s to 7d", hint="such as 30m, 4h"
        )
    return seconds
