"""What goes wrong in a control plane, as findings: each says what still holds and what does not."""

from dataclasses import dataclass

from meshwarden.adapters.envoy.delta import Acknowledgement
from meshwarden.control.plane.telling import Teller
from meshwarden.kernel import Clock, Finding, MeshwardenError, Severity


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarms:
    """Tells findings about the mesh of `trust_domain`."""

    teller: Teller
    clock: Clock
    trust_domain: str

    def refused_by_sidecar(self, answer: Acknowledgement) -> None:
        """Tell that a sidecar refused a resource; nothing where it took it."""
        if answer.error is None:
            return
        kind = answer.type_url.rpartition(".")[2]
        self._raise(
            "dataplane.refused",
            answer.node,
            f"The sidecar of {answer.node} refused {kind} {answer.name!r} and runs on its last"
            f" good one: {answer.error[:500]}",
            evidence=(f"{kind}/{answer.name}@{answer.version}",),
        )

    def policy_refused(self, path: object, error: MeshwardenError) -> None:
        """Tell that the policy file at `path` is not in force."""
        self._raise(
            "policy.refused",
            str(path),
            f"The changed policy is not in force, the last good one is: {error}",
        )

    def policy_not_kept(self, path: object, error: OSError) -> None:
        """Tell that a restart would not find the accepted policy."""
        self._raise(
            "policy.not_kept",
            str(path),
            f"The policy is in force, but cannot be kept for the next start: {error}",
        )

    def hosts_not_written(self, path: object, error: OSError) -> None:
        """Tell that isolated services do not see newly allowed names."""
        self._raise(
            "policy.hosts_not_written",
            str(path),
            f"Services may not find newly allowed names without a proxy: {error}",
        )

    def not_enforced(self, service: str, filters: tuple[str, ...]) -> None:
        """Tell that a sidecar runs other filters than the policy compiles to."""
        self._raise(
            "policy.not_enforced",
            service,
            f"Policy not enforced as written: the sidecar of {service} does not run what the policy"
            f" compiles to now ({', '.join(filters)}); see its other findings, or restart it.",
            evidence=filters,
        )

    def calls_lost(self, service: str, sentence: str) -> None:
        """Tell that calls of a service are in no record."""
        self._raise("record.lost", service, sentence)

    def undecided(self, service: str, sentence: str) -> None:
        """Tell that requests were refused because nobody could decide them."""
        self._raise("authorizer.unavailable", service, sentence)

    def edge_certificate(self, service: str, why: str) -> None:
        """Tell that an edge goes on showing a certificate that its files have no longer."""
        self._raise(
            "edge.certificate",
            service,
            f"The edge of {service} goes on with its last good certificate: {why}",
        )

    def no_lists(self) -> None:
        """Tell that revocation does not reach handshakes."""
        self._raise(
            "identity.no_lists",
            self.trust_domain,
            "The authority may not sign revocation lists (its keyUsage lacks cRLSign): a revoked"
            " certificate is refused on every request, but not in the handshake.",
        )

    def unrecorded(self, error: MeshwardenError) -> None:
        """Tell that a restart would forget what was revoked."""
        self._raise(
            "identity.unrecorded",
            self.trust_domain,
            "What was revoked is in force, but a restart of the control plane would forget it:"
            f" {error}",
        )

    def renewal_failed(self, error: MeshwardenError) -> None:
        """Tell that nothing is issued."""
        self._raise(
            "identity.renewal_failed",
            self.trust_domain,
            "No certificate is issued, the sidecars run on those that they have until these"
            f" expire: {error}",
        )

    def _raise(
        self, code: str, subject: str, sentence: str, *, evidence: tuple[str, ...] = ()
    ) -> None:
        self.teller.tell(
            Finding(
                time=int(self.clock.now().timestamp() * 1_000_000) * 1000,
                code=code,
                subject=subject,
                severity=Severity.HIGH,
                sentence=sentence,
                evidence=evidence,
            )
        )
