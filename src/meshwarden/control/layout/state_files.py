"""The files of the mesh as a whole, below its state directory."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from meshwarden.control.layout.names import WORKLOAD

BEHAVIOUR_STATE: Final = Path("behaviour") / "model"


@dataclass(frozen=True, slots=True)
class StateFiles:
    """Paths below the state directory `state`, which is absolute."""

    state: Path

    @property
    def authority_dir(self) -> Path:
        """Keys of the certificate authority."""
        return self.state / "ca"

    @property
    def run_dir(self) -> Path:
        """What exists only while the mesh runs."""
        return self.state / "run"

    @property
    def logs_dir(self) -> Path:
        """Access logs (the record) and output of the services."""
        return self.state / "logs"

    @property
    def calls_dir(self) -> Path:
        """Recorded calls, as Parquet files."""
        return self.state / "calls"

    @property
    def accepted_policy(self) -> Path:
        """The policy file that was accepted last, for a start while the file itself is broken."""
        return self.state / "accepted-policy.yaml"

    @property
    def identity_register(self) -> Path:
        """What was issued, renewed, refused and revoked, one JSON object a line."""
        return self.state / "identity.jsonl"

    @property
    def lists_dir(self) -> Path:
        """The revocation list of each issuer."""
        return self.state / "crl"

    @property
    def findings(self) -> Path:
        """Findings, one JSON object a line."""
        return self.state / "findings.jsonl"

    @property
    def behaviour(self) -> Path:
        """What the behaviour model has learned."""
        return self.state / BEHAVIOUR_STATE

    @property
    def processes(self) -> Path:
        """Process ids of the running mesh, as JSON."""
        return self.state / "up.json"

    @property
    def api_socket(self) -> Path:
        """The control plane's own API."""
        return self.run_dir / "api.sock"

    @property
    def orders_socket(self) -> Path:
        """Where the supervisor takes orders of the control plane, and of nobody else."""
        return self.run_dir / "orders.sock"

    @property
    def incidents(self) -> Path:
        """The incidents' records."""
        return self.state / "incidents" / "incidents.sqlite"

    @property
    def containers_dir(self) -> Path:
        """What must be known of suspects in containers after a crash."""
        return self.state / "incidents" / "containers"

    @property
    def evidence_dir(self) -> Path:
        """Archives of evidence, and the key that signs them."""
        return self.state / "evidence"

    @property
    def workload_dir(self) -> Path:
        """What isolated services are shown of the Workload API; outlives the socket in it."""
        return self.run_dir / WORKLOAD

    @property
    def workload_socket(self) -> Path:
        """The SPIFFE Workload API, for every process that may pass the directories above it."""
        return self.workload_dir / "workload.sock"

    @property
    def registrations(self) -> Path:
        """Who may have which identity besides the mesh's own services."""
        return self.state / "registrations.json"

    @property
    def federation_dir(self) -> Path:
        """The last good bundles of other trust domains."""
        return self.state / "federation"

    @property
    def jwt_keys(self) -> Path:
        """The keys that sign JWT-SVIDs."""
        return self.state / "jwt-keys.json"

    @property
    def token_state(self) -> Path:
        """Keys, chains, revocations and histories of the token service."""
        return self.state / "tokens" / "tokens.sqlite"
