"""How probable it is that a suspect is compromised, given the findings about it.

A p-value is no probability of guilt. It is turned into the largest odds that it can support by the
bound of Sellke, Bayarri and Berger (The American Statistician 55(1), 2001): whatever the
alternative, the Bayes factor against "nothing is wrong" is at most `1 / (-e p ln p)` for p < 1/e,
else 1. Findings of one kind repeat the same evidence, so each kind counts once, by its strongest.
All findings with a p-value of one capability are one kind: its model has joined its channels, and
what goes on comes under another name each hour. Facts (no p-value) count by their severity, each
code as a kind. Kinds are multiplied, which overstates where they share a cause; that is bounded: no
kind contributes more than `MAX_FACTOR`.
"""

import math
from collections.abc import Iterable
from typing import Final

from meshwarden.kernel import Finding, Severity

PRIOR: Final = 1e-3
"""The probability, before any finding, that one given workload is compromised at a given moment.
Larger acts on fainter signs, and more often in vain."""

MAX_FACTOR: Final = 1e6
"""No single kind of finding can move the odds by more than this, however small its p-value: models
are wrong before 1 in a million is right."""

_HARMLESS: Final = {"behaviour.failures": 300.0, "behaviour.status_mix": 300.0}
"""The same of findings about what was refused or failed. It did no harm, and where nothing ever
failed two failures are as rare as an intruder: alone, they cut nobody off."""

_FACTS: Final = {
    Severity.LOW: 1.0,
    Severity.MEDIUM: 10.0,
    Severity.HIGH: 1e3,
    Severity.CRITICAL: 1e5,
}


def probability_of(findings: Iterable[Finding], *, prior: float = PRIOR) -> float:
    """Return the probability, 0..1, that the suspect of `findings` is compromised.

    >>> probability_of([])
    0.001
    """
    strongest: dict[str, float] = {}
    for finding in findings:
        factor = bayes_factor(finding)
        kind = _kind(finding)
        strongest[kind] = max(strongest.get(kind, 1.0), factor)
    log_odds = math.log(prior / (1 - prior)) + sum(math.log(one) for one in strongest.values())
    return prior if not strongest else 1 / (1 + math.exp(-log_odds))


def _kind(finding: Finding) -> str:
    return finding.code if finding.p_value is None else finding.code.partition(".")[0]


def bayes_factor(finding: Finding) -> float:
    """Return how many times the odds grow at most by this finding, 1..MAX_FACTOR."""
    if finding.p_value is None:
        return _FACTS[finding.severity]
    if finding.p_value >= 1 / math.e:
        return 1.0
    p = max(finding.p_value, 1e-300)
    most = _HARMLESS.get(finding.code, MAX_FACTOR)
    return min(1 / (-math.e * p * math.log(p)), most)
