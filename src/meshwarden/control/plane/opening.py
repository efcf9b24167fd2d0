"""Opens a control plane on a state directory: its policy, its authority, its stores."""

from meshwarden.adapters.storage.authority import load_brought_authority, load_or_create_authority
from meshwarden.adapters.storage.findings import FileFindingStore
from meshwarden.control.layout import Layout
from meshwarden.control.mesh import AuthoritySettings, Mesh
from meshwarden.control.plane.certificates import Certificates
from meshwarden.control.plane.naming import naming_of
from meshwarden.control.plane.plane import ControlPlane
from meshwarden.control.plane.published import load_first
from meshwarden.control.plane.telling import Teller
from meshwarden.control.recording import Recorder
from meshwarden.identity import Authority
from meshwarden.kernel import Chance, Clock, ConfigError


def open_plane(mesh: Mesh, layout: Layout, *, clock: Clock, chance: Chance) -> ControlPlane:
    """Return the control plane of `mesh` on its state directory; not yet running.

    Raises:
        MeshwardenError: where policy, authority or stores cannot be used; nothing is created where
            mesh and policy do not fit.
    """
    published, rejected = load_first(mesh, layout)
    _make_directories(mesh, layout)
    authority = _open_authority(
        mesh.authority, layout, published.policy.trust_domain, clock=clock, chance=chance
    )
    teller = Teller(FileFindingStore(layout.findings))
    recorder = Recorder(
        folder=layout.calls_dir,
        clock=clock,
        naming=naming_of(published.policy),
        report=teller.tell,
    )
    return ControlPlane(
        mesh=mesh,
        layout=layout,
        clock=clock,
        certificates=Certificates(
            authority=authority,
            clock=clock,
            chance=chance,
            lifetime_s=mesh.authority.svid_lifetime_s,
        ),
        recorder=recorder,
        teller=teller,
        published=published,
        rejected=rejected,
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


def _open_authority(
    settings: AuthoritySettings, layout: Layout, trust_domain: str, *, clock: Clock, chance: Chance
) -> Authority:
    """Return the authority that the user brings, or else our own, made at the first start."""
    if settings.certificates and settings.key:
        return load_brought_authority(
            trust_domain, certificates=settings.certificates, key=settings.key, now=clock.now()
        )
    return load_or_create_authority(
        layout.authority_dir, trust_domain, now=clock.now(), draw_serial=chance.serial
    )
