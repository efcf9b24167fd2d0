"""Puts the response of a running mesh together: records, guard rails, playbooks, actions."""

import asyncio
import hashlib
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path

from meshwarden.adapters.containers import ContainerDriver, Engine
from meshwarden.adapters.storage.calls import load_calls
from meshwarden.adapters.storage.database import open_database
from meshwarden.adapters.storage.incidents import IncidentStore
from meshwarden.adapters.yaml import load_document, parse_document
from meshwarden.control.mesh import Mesh
from meshwarden.control.plane import ControlPlane
from meshwarden.control.response.action import Action
from meshwarden.control.response.actions.notify import Notify
from meshwarden.control.response.actions.quarantine import Quarantine
from meshwarden.control.response.actions.replace import Replace, verify_recovered
from meshwarden.control.response.actions.revoke_sessions import RevokeSessions
from meshwarden.control.response.actions.revoke_svid import RevokeSvid
from meshwarden.control.response.actions.rotate_secrets import RotateSecrets
from meshwarden.control.response.actions.scene import Scene
from meshwarden.control.response.actions.snapshot import Snapshot
from meshwarden.control.response.actions.throttle import Throttle
from meshwarden.control.response.controller import Controller
from meshwarden.control.response.deciding import Deciding
from meshwarden.control.response.paging import Pager
from meshwarden.control.response.placed_driver import PlacedDriver
from meshwarden.control.response.process_driver import ProcessDriver
from meshwarden.control.response.records import Records
from meshwarden.control.response.responding import Responding
from meshwarden.control.response.rotating import rotations_of
from meshwarden.control.response.suspecting import Suspecting
from meshwarden.control.response_settings import ResponseSettings
from meshwarden.kernel import Chance, ConfigError
from meshwarden.response import (
    Customers,
    Driver,
    GuardRails,
    Incident,
    Playbook,
    ServiceFacts,
    customers_in,
    parse_guard_rails,
    parse_playbook,
)

SHIPPED = files("meshwarden.response") / "playbooks"


def open_response(plane: ControlPlane, *, chance: Chance) -> Responding:
    """Return what responds to what `plane` finds; not yet running.

    Raises:
        InputError: where a playbook or the guard rails are not usable.
        MeshwardenError: where the records cannot be opened.
    """
    settings, layout = plane.mesh.response, plane.layout
    layout.incidents.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    processes = ProcessDriver(mesh=plane.mesh, layout=layout)
    driver = driver_of(plane.mesh, processes)
    store = IncidentStore(open_database(layout.incidents))
    deciding = Deciding(
        rails=load_rails(settings),
        services=lambda: facts_of(plane),
        warden=_own_identities(plane),
    )
    pager = Pager(tell=plane.teller.tell)
    records = Records(store=store, clock=plane.clock, deciding=deciding, announce=pager.announce)
    scene = Scene(plane=plane, driver=driver, evidence=layout.evidence_dir)
    suspecting = Suspecting(
        policy=lambda: plane.published.policy,
        instance=processes.known,
        incidents=records.incidents.values,
    )

    async def _recovered(incident: Incident) -> str:
        shown = await verify_recovered(scene, incident)
        return f"{shown}; {await customers_during(plane, incident)}"

    controller = Controller(
        holder=_holder(layout.state),
        records=records,
        actions=actions_of(scene, records, settings),
        playbooks=load_playbooks(settings),
        suspect_of=suspecting.suspect_of,
        new_id=lambda: f"{plane.clock.now():%Y%m%d-%H%M%S}-{chance.serial() & 0xFFFFFF:06x}",
        recovered=_recovered,
        by_hand=tuple(load_playbook(name) for name in shipped_playbooks()),
    )
    return Responding(plane=plane, controller=controller, suspecting=suspecting, scene=scene)


async def customers_during(plane: ControlPlane, incident: Incident) -> Customers:
    """Return how customers have fared since the first sign, as the edges' calls say."""
    await plane.recorder.flush()
    services = plane.published.policy.services
    edges = [str(one.identity) for one in services.values() if one.edge]
    calls = await asyncio.to_thread(lambda: load_calls([plane.layout.calls_dir]).table)
    return customers_in(calls, edges, since=incident.first_call or incident.opened)


def driver_of(mesh: Mesh, processes: ProcessDriver) -> Driver:
    """Return the driver of all that `mesh` runs, be it in containers or not."""
    folder = processes.layout.containers_dir
    containers = {
        name: ContainerDriver(
            engine=Engine(socket=service.container.engine),
            names={name: service.container.name},
            folder=folder,
        )
        for name, service in mesh.services.items()
        if service.container is not None
    }
    if not containers:
        return processes
    return PlacedDriver(processes=processes, containers=containers, folder=folder)


def actions_of(scene: Scene, records: Records, settings: ResponseSettings) -> Mapping[str, Action]:
    """Return every action that this mesh can carry out, by name."""
    snapshot = Snapshot(
        scene=scene, record=records.store.load_record, max_bytes=settings.evidence_bytes
    )
    found: list[Action] = [
        Notify(scene=scene),
        RotateSecrets(scene=scene, rotations=rotations_of(settings.secrets, scene.plane.clock)),
        Throttle(scene=scene),
        Quarantine(scene=scene),
        RevokeSvid(scene=scene),
        RevokeSessions(scene=scene),
        snapshot,
        Replace(scene=scene),
    ]
    return {one.name: one for one in found}


def load_playbooks(settings: ResponseSettings) -> tuple[Playbook, ...]:
    """Return the playbooks in order of preference; InputError where one cannot work."""
    return tuple(load_playbook(name) for name in settings.playbooks)


def load_playbook(name: str) -> Playbook:
    """Return a shipped playbook by name, or one of a file by path.

    Raises:
        ConfigError: `playbook.unknown`, or where the file cannot be read.
        InputError: where it cannot work.
    """
    if "/" in name:
        return parse_playbook(load_document(Path(name)))
    shipped = SHIPPED / f"{name}.yaml"
    if not shipped.is_file():
        raise ConfigError(
            "playbook.unknown",
            f"no playbook {name[:80]!r} is shipped",
            hint=f"{', '.join(shipped_playbooks())}, or the path of a file",
        )
    return parse_playbook(parse_document(shipped.read_bytes(), name=f"{name}.yaml"))


def shipped_playbooks() -> list[str]:
    """Return the names of the shipped playbooks."""
    return sorted(one.name.removesuffix(".yaml") for one in SHIPPED.iterdir())


def load_rails(settings: ResponseSettings) -> GuardRails:
    """Return the guard rails of the mesh; InputError where the file breaks the format."""
    if settings.guard_rails is None:
        return GuardRails()
    return parse_guard_rails(load_document(settings.guard_rails))


def facts_of(plane: ControlPlane) -> dict[str, ServiceFacts]:
    """Return what the guard rails know of each service: here, each has one instance."""
    policy, held = plane.published.policy, plane.quarantine.services()
    return {
        name: ServiceFacts(
            tier=policy.services[name].tier,
            edge=policy.services[name].edge,
            healthy=int(name not in held and plane.enforcer.server.connected(name)),
        )
        for name in plane.mesh.services
    }


def _holder(state: Path) -> str:
    """Return who holds the lease: whoever runs on this state directory, which is one at a time.

    One that was killed is followed by one of the same name, which goes on at once.
    """
    return f"state-{hashlib.sha256(bytes(state)).hexdigest()[:32]}"


def _own_identities(plane: ControlPlane) -> frozenset[str]:
    """Return the identities that the control plane itself has."""
    services = plane.published.policy.services
    own = [name for name, service in plane.mesh.services.items() if service.builtin]
    return frozenset(str(services[name].identity) for name in own)
