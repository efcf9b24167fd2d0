"""Opens a control plane on a state directory: its policy, its authority, its stores."""

import pyarrow as pa

from meshwarden.adapters.storage.authority_brought import load_brought_trust
from meshwarden.adapters.storage.authority_rotation import load_or_create_trust
from meshwarden.adapters.storage.findings import FileFindingStore
from meshwarden.adapters.storage.lists import FileLists
from meshwarden.adapters.storage.register import FileRegister
from meshwarden.control.layout import Layout
from meshwarden.control.mesh import AuthoritySettings, Mesh
from meshwarden.control.plane.certificates import Certificates
from meshwarden.control.plane.identities import Identities
from meshwarden.control.plane.naming import naming_of
from meshwarden.control.plane.plane import ControlPlane
from meshwarden.control.plane.published import load_first
from meshwarden.control.plane.telling import Teller
from meshwarden.control.plane.tokens import open_mesh_tokens
from meshwarden.control.recording import Recorder
from meshwarden.control.watching.opening import open_watch
from meshwarden.identity import Trust
from meshwarden.kernel import Chance, Clock, ConfigError


def open_plane(mesh: Mesh, layout: Layout, *, clock: Clock, chance: Chance) -> ControlPlane:
    """Return the control plane of `mesh` on its state directory; not yet running.

    Raises:
        MeshwardenError: where policy, authority or stores cannot be used; nothing is created where
            mesh and policy do not fit.
    """
    published, rejected = load_first(mesh, layout)
    _make_directories(mesh, layout)
    trust = _open_trust(
        mesh.authority, layout, published.policy.trust_domain, clock=clock, chance=chance
    )
    teller = Teller(FileFindingStore(layout.findings))
    watch = open_watch(
        mesh.behaviour, layout.behaviour, policy=published.policy, clock=clock, tell=teller.tell
    )
    tokens = (
        None
        if mesh.tokens is None
        else open_mesh_tokens(mesh.tokens, layout, published.policy, clock=clock, chance=chance)
    )

    def observe(calls: pa.Table) -> None:
        if tokens is not None:
            tokens.presentations.offer(calls)
        if watch is not None:
            watch.offer(calls)

    recorder = Recorder(
        folder=layout.calls_dir,
        clock=clock,
        naming=naming_of(published.policy),
        report=teller.tell,
        observe=observe,
    )
    return ControlPlane(
        mesh=mesh,
        layout=layout,
        clock=clock,
        certificates=Certificates(
            authority=trust.current,
            clock=clock,
            chance=chance,
            lifetime_s=mesh.authority.svid_lifetime_s,
        ),
        identities=Identities(
            store=FileRegister(layout.identity_register),
            lists=FileLists(layout.lists_dir),
            clock=clock,
            trust=trust,
        ),
        chance=chance,
        recorder=recorder,
        teller=teller,
        first=published,
        rejected=rejected,
        tokens=tokens,
        watch=watch,
    )


def _make_directories(mesh: Mesh, layout: Layout) -> None:
    """Create what is not there yet; `meshwarden up` has, with the modes that accounts need."""
    try:
        for name in mesh.services:
            for directory in (layout.service_run_dir(name), layout.service_logs_dir(name)):
                directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            "state.unusable",
            f"the state directory {layout.state} cannot be used: {error.filename}:"
            f" {error.strerror}",
            hint="check its permissions, or name another with --state",
        ) from error


def _open_trust(
    settings: AuthoritySettings, layout: Layout, trust_domain: str, *, clock: Clock, chance: Chance
) -> Trust:
    """Return the authority that the user brings, or else our own, made at the first start."""
    if settings.certificates and settings.key:
        return load_brought_trust(
            layout.authority_dir,
            trust_domain,
            certificates=settings.certificates,
            key=settings.key,
            now=clock.now(),
        )
    return load_or_create_trust(
        layout.authority_dir, trust_domain, now=clock.now(), draw_serial=chance.serial
    )
