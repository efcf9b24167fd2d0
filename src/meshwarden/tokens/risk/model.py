"""The facts of risk: what a request shows, how it is judged, and what came out.

Source: D. Freeman, S. Jain, M. Duermuth, B. Biggio, G. Giacinto: Who Are You? A Statistical
Approach to Measuring User Authenticity, NDSS 2016. Scores are natural logarithms of a likelihood
ratio, attacker over owner: 0 says nothing, 3 is twenty to one for an attacker.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

STEP_UP: Final = 1.0
DENY: Final = 12.0


class Verdict(StrEnum):
    """What follows from a score."""

    ALLOW = "allow"
    STEP_UP = "step-up"
    DENY = "deny"


@dataclass(frozen=True, slots=True, kw_only=True)
class RiskSettings:
    """How risk is judged.

    Attributes:
        step_up: the score from which the subject must prove themselves again. Lower asks owners
            more often, higher lets more thieves through; benchmarks/tokens.py shows the curve.
        deny: the score from which nothing helps; above all that a new device abroad reaches.
        acr: the assurance that step-up demands.
        max_age_s: how long ago it may have been reached.
        amount: member of the operation's details that is the amount, in minor units.
        payee: member of the details that names who is paid.
        history_days: after how many days without a request a subject's history is forgotten.
    """

    step_up: float = STEP_UP
    deny: float = DENY
    acr: str | None = "mfa"
    max_age_s: int | None = 300
    amount: str = "amount_minor"
    payee: str = "payee"
    history_days: int = 90


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What one request shows about whoever sends it; None where it does not show it.

    Attributes:
        time: seconds since the epoch.
        address: IP address, as text.
        network: autonomous system or prefix.
        country: ISO 3166 code.
        place: latitude and longitude in degrees.
        agent: family of the user agent and its operating system.
        device: fingerprint of TLS and client hints together with `agent`.
        session: hash of the session.
        session_age_s: seconds since the subject proved themselves.
        amount: of the operation, in minor units.
        payee: who is paid.
        suspicion: log likelihood ratio that findings about the carrying workload add.
    """

    time: int
    address: str | None = None
    network: str | None = None
    country: str | None = None
    place: tuple[float, float] | None = None
    agent: str | None = None
    device: str | None = None
    session: str | None = None
    session_age_s: int | None = None
    amount: float | None = None
    payee: str | None = None
    suspicion: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Factor:
    """How much one thing adds to the score (natural logarithm; negative speaks for the owner)."""

    name: str
    weight: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Assessment:
    """The risk of one request: a number, what follows, and what it is made of, largest first."""

    score: float
    verdict: Verdict
    factors: tuple[Factor, ...] = ()

    def severity(self, settings: RiskSettings) -> float:
        """Return the score as a share of what is refused, 0..1."""
        return min(1.0, max(0.0, self.score / settings.deny)) if settings.deny > 0 else 1.0


def judge(factors: list[Factor], settings: RiskSettings) -> Assessment:
    """Return the assessment that these factors add up to."""
    score = sum(factor.weight for factor in factors)
    verdict = Verdict.ALLOW
    if score >= settings.deny:
        verdict = Verdict.DENY
    elif score >= settings.step_up:
        verdict = Verdict.STEP_UP
    ordered = sorted(factors, key=lambda one: (-one.weight, one.name))
    return Assessment(score=score, verdict=verdict, factors=tuple(ordered))
