"""The certificates that edges show: read when the mesh starts, and again when the files change.

Files that are no longer a pair (a renewal writes one after the other) change nothing; if they stay
so, a finding says that the last good certificate is still shown.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from envoy.extensions.transport_sockets.tls.v3.secret_pb2 import Secret

from meshwarden.adapters.envoy.tls import edge_secret
from meshwarden.control.edge_certificate import EdgeCertificate, load_certificate
from meshwarden.control.mesh import Mesh
from meshwarden.kernel import ConfigError

PATIENCE: int = 10
"""Looks, a second each, for which files may be no pair before anybody is told."""


@dataclass(kw_only=True)
class Edges:
    """The edges' certificates by service.

    Attributes:
        files: where they are.
        tell: takes a service and why its files are not used.
    """

    files: Mapping[str, EdgeCertificate]
    tell: Callable[[str, str], None]
    _held: dict[str, tuple[str, str]] = field(init=False)
    _failed: dict[str, int] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self._held = {name: load_certificate(files) for name, files in self.files.items()}

    def secret(self, name: str) -> Secret | None:
        """Return what the edge of a service shows; None: it listens in the clear."""
        held = self._held.get(name)
        return None if held is None else edge_secret(*held)

    def look(self) -> list[str]:
        """Read the files again; return whose certificate is another now."""
        changed = []
        for name, files in self.files.items():
            try:
                found = load_certificate(files)
            except ConfigError as error:
                self._failed[name] = self._failed.get(name, 0) + 1
                if self._failed[name] == PATIENCE:
                    self.tell(name, str(error))
                continue
            self._failed.pop(name, None)
            if found != self._held[name]:
                self._held[name] = found
                changed.append(name)
        return changed


def open_edges(mesh: Mesh, tell: Callable[[str, str], None]) -> Edges:
    """Return the edges of `mesh`; ConfigError `edge.certificate` where one cannot be used."""
    files = {
        name: service.edge_certificate
        for name, service in mesh.services.items()
        if service.edge_certificate is not None
    }
    return Edges(files=files, tell=tell)
