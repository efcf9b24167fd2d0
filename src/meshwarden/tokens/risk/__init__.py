"""The risk of a request: a likelihood ratio with its parts, over what is known of its subject.

- `model`: observation, factors, assessment, thresholds. `features`: a request becomes one.
- `history`: what is kept of one subject. `population`: of all of them together.
- `score`: the ratio. `terms`: the factors that are no shares of values.

Deterministic: the same state and request give the same score. Only `learn` changes anything.
"""

from meshwarden.tokens.risk.features import Located, Namer, observe_request
from meshwarden.tokens.risk.history import History, learn, parse_history, render_history
from meshwarden.tokens.risk.model import (
    Assessment,
    Factor,
    Observation,
    RiskSettings,
    Verdict,
    judge,
)
from meshwarden.tokens.risk.population import Population
from meshwarden.tokens.risk.score import assess, values_of

__all__ = [
    "Assessment",
    "Factor",
    "History",
    "Located",
    "Namer",
    "Observation",
    "Population",
    "RiskSettings",
    "Verdict",
    "assess",
    "judge",
    "learn",
    "observe_request",
    "parse_history",
    "render_history",
    "values_of",
]
