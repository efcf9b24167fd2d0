"""The files of one service and its sidecar, below the mesh's state directory."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from meshwarden.control.layout.state_files import StateFiles


@dataclass(frozen=True, slots=True)
class ServiceFiles(StateFiles):
    """Paths by the name of the service."""

    def service_run_dir(self, name: str) -> Path:
        """Sockets and configuration of the service's sidecar."""
        return self.run_dir / name

    def xds_socket(self, name: str) -> Path:
        """Where the control plane configures this sidecar."""
        return self.service_run_dir(name) / "xds.sock"

    def authorizer_socket(self, name: str) -> Path:
        """Where this sidecar asks for what takes live state to decide."""
        return self.service_run_dir(name) / "authz.sock"

    def admin_socket(self, name: str) -> Path:
        """The sidecar's administration interface."""
        return self.own_dir(name) / "admin"

    def own_dir(self, name: str) -> Path:
        """The one directory that the sidecar's account may write."""
        return self.service_run_dir(name) / "own"

    def edge_socket(self, name: str) -> Path:
        """Where an isolated sidecar takes what the border brings in."""
        return self.own_dir(name) / "edge"

    def partners_socket(self, name: str, port: int | None) -> Path:
        """Where an isolated sidecar takes partners' requests (None) or connections to `port`."""
        return self.own_dir(name) / ("p" if port is None else f"p{port}")

    def out_dir(self, name: str) -> Path:
        """Where the border listens for this sidecar."""
        return self.service_run_dir(name) / "out"

    def out_socket(self, name: str, host: str, port: int) -> Path:
        """Where the border takes connections of this sidecar to an outside host."""
        return self.out_dir(name) / hashlib.sha256(f"{host}:{port}".encode()).hexdigest()[:8]

    def etc_dir(self, name: str) -> Path:
        """Files that an isolated service sees in its /etc."""
        return self.service_run_dir(name) / "etc"

    def hosts(self, name: str) -> Path:
        """The isolated service's hosts file."""
        return self.etc_dir(name) / "hosts"

    def bootstrap(self, name: str) -> Path:
        """The configuration that the sidecar starts with."""
        return self.service_run_dir(name) / "envoy.yaml"

    def app_dir(self, name: str) -> Path:
        """The one directory that the service's own account may write."""
        return self.service_run_dir(name) / "app"

    def app_socket(self, name: str) -> Path:
        """Where a service with `socket: true` listens."""
        return self.app_dir(name) / "app.sock"

    def out_of_container(self, name: str) -> Path:
        """Where the sidecar of a service in a container takes that service's own requests."""
        return self.app_dir(name) / "out.sock"

    def service_logs_dir(self, name: str) -> Path:
        """The sidecar's access logs."""
        return self.logs_dir / name

    def access_log(self, name: str) -> Path:
        """The sidecar's access log, the record of calls."""
        return self.service_logs_dir(name) / "access.log"

    def output_log(self, name: str) -> Path:
        """What the process of that name printed."""
        return self.logs_dir / f"{name}.log"
