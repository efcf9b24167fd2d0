"""Who may have which identity in a running mesh: its own services, and what was registered.

The mesh's services are known by their session: the supervisor starts each in a session of its own
and writes the leader's pid and start to `up.json`. A process cannot join another's session, so the
kernel vouches for it; where a service has its own account, the account must be right as well.
Without accounts of their own, services of one user can still meddle with one another's memory and
descriptors: the session tells them apart, it does not wall them off.
"""

import os
import pwd
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from meshwarden.adapters.storage.registrations import load_registrations
from meshwarden.control.layout import Layout
from meshwarden.control.mesh import Mesh
from meshwarden.control.started import load_started
from meshwarden.identity import Registration, Selectors, Session
from meshwarden.kernel import MeshwardenError, SpiffeId
from meshwarden.policy import AccessPolicy

_Stamp = tuple[int, int, int]


@dataclass(kw_only=True)
class Registrations:
    """The registrations in force, looked up anew whenever their files change.

    Attributes:
        mesh: its services.
        layout: where its files are.
        policy: the policy in force, which names the identities.
        refused: told once of each registrations file that cannot be used; the last good one stays.
    """

    mesh: Mesh
    layout: Layout
    policy: Callable[[], AccessPolicy]
    refused: Callable[[MeshwardenError], None] = lambda _: None
    _paths: tuple[str, str] = field(init=False)
    _named: AccessPolicy | None = field(init=False, default=None)
    _seen: tuple[_Stamp | None, ...] = field(init=False, default=())
    _written: tuple[Registration, ...] = field(init=False, default=())
    _known: tuple[Registration, ...] = field(init=False, default=())

    def __post_init__(self) -> None:
        # As text: they are looked at for every caller.
        self._paths = (str(self.layout.processes), str(self.layout.registrations))

    def known(self) -> Sequence[Registration]:
        """Return all registrations, those of the mesh's own services first."""
        policy = self.policy()
        files = (_stamp(self._paths[0]), _stamp(self._paths[1]))
        if policy is not self._named or files != self._seen:
            if policy is not self._named or files[1:] != self._seen[1:]:
                self._written = self._load(policy.trust_domain)
            self._known = (*self._services(policy), *self._written)
            self._named, self._seen = policy, files
        return self._known

    def _load(self, trust_domain: str) -> tuple[Registration, ...]:
        try:
            found = load_registrations(self.layout.registrations)
        except MeshwardenError as error:
            self.refused(error)
            return self._written
        return tuple(one for one in found if one.identity.trust_domain == trust_domain)

    def _services(self, policy: AccessPolicy) -> list[Registration]:
        sessions = load_started(self.layout.processes)
        found = (
            _service(policy.services[name].identity, sessions[name], service.user)
            for name, service in self.mesh.services.items()
            if name in sessions and name in policy.services
        )
        return [one for one in found if one is not None]


def _service(identity: SpiffeId, session: Session, user: str | None) -> Registration | None:
    """Return a service's registration; None where its account is gone: nobody can be it."""
    try:
        uid = pwd.getpwnam(user).pw_uid if user else None
    except KeyError:
        return None
    return Registration(identity=identity, selectors=Selectors(session=session, uid=uid))


def _stamp(path: str) -> _Stamp | None:
    try:
        found = os.stat(path)  # noqa: PTH116
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size
