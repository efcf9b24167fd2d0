"""Whom a finding is about: the one instance whose proven identity it names, or nobody.

- Only what was seen of calls whose caller proved who it is counts. What a certificate or header
  merely claimed is never a reason to act against the workload that it names.
- A clean instance is not blamed for what its predecessor did: findings that come shortly after a
  replacement are about the one that was replaced.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from meshwarden.kernel import Finding
from meshwarden.policy import AccessPolicy
from meshwarden.response import Incident, Instance, StepState, Suspect

PRESENTED: Final = "tokens.presented_elsewhere"

AFTERSHOCK_S: Final = 20
"""How long findings may still be about calls of an instance that was replaced: they are raised when
calls have been recorded, joined and scored. More would leave a second compromise alone as long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspecting:
    """Names suspects in one mesh.

    Attributes:
        policy: whose identity is whose.
        instance: which instance of a service is there now.
        incidents: all that are known.
    """

    policy: Callable[[], AccessPolicy]
    instance: Callable[[str], Instance | None]
    incidents: Callable[[], Iterable[Incident]]

    def suspect_of(self, finding: Finding) -> Suspect | None:
        """Return whom `finding` is about; None where nobody's proven identity is."""
        behaves = finding.code.startswith("behaviour.") and finding.p_value is not None
        if not behaves and finding.code != PRESENTED:
            return None  # what people say of a caller's behaviour has no p-value
        services = self.policy().services.values()
        known: Mapping[str, str] = {str(one.identity): one.name for one in services}
        service = known.get(finding.subject)
        if service is None:
            return None
        return self._replaced_before(service, finding.time) or self.suspect(service)

    def suspect(self, service: str) -> Suspect:
        """Return the instance of `service` that is there now as a suspect."""
        instance = self.instance(service)
        return Suspect(
            service=service,
            identity=str(self.policy().services[service].identity),
            instance=None if instance is None else instance.name,
        )

    def _replaced_before(self, service: str, time: int) -> Suspect | None:
        for incident in self.incidents():
            same = incident.suspect.service == service and not incident.state.ended
            if not same or not _replaces(incident):
                continue
            over = incident.recovered
            if over is None or time < over + AFTERSHOCK_S * 10**9:
                return incident.suspect
        return None


def _replaces(incident: Incident) -> bool:
    """Return whether a clean instance may stand in the suspect's place by now."""
    begun = {StepState.STARTED, StepState.APPLIED, StepState.VERIFIED}
    return any(step.action == "replace" and step.state in begun for step in incident.steps)


def isolated_by(incidents: Iterable[Incident]) -> frozenset[str]:
    """Return the services that must be in quarantine, as the records say.

    Where it is not known for sure (an action began, its end is not on record), they must.
    """
    return frozenset(one.suspect.service for one in incidents if _isolates(one))


def throttled_by(incidents: Iterable[Incident]) -> frozenset[str]:
    """Return the services that must be slowed down, as the records say."""
    return frozenset(
        one.suspect.service
        for one in incidents
        if not one.state.ended
        and one.recovered is None
        and any(step.action == "throttle" and step.state.in_force for step in one.steps)
    )


def _isolates(incident: Incident) -> bool:
    if incident.state.ended or incident.recovered is not None:
        return False
    states = {step.action: step.state for step in incident.steps}
    replaced = states.get("replace") in {StepState.APPLIED, StepState.VERIFIED}
    quarantined = states.get("quarantine", StepState.PLANNED)
    return quarantined.in_force and not replaced
