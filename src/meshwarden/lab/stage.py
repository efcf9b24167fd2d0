"""The sample bank, running: its mesh, the card network outside, and a view of both from above.

`Stage` starts everything on one state directory and stops it again. What the control plane knows is
asked over its API; what the ledger holds is asked on the ledger's own socket, as the operator may.
"""

import asyncio
import contextlib
import os
import pwd
import secrets
import socket
import sys
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

import httpx

from meshwarden.adapters.process import Child, Guard, Program, accepts, open_to_others
from meshwarden.adapters.process.health import Elsewhere
from meshwarden.adapters.storage.findings import FileFindingStore
from meshwarden.adapters.yaml import load_document
from meshwarden.control.layout import Layout
from meshwarden.control.mesh import Address, Mesh, check_against, parse_mesh
from meshwarden.control.supervision import Event, Supervisor
from meshwarden.control.supervision.isolation import lay_out, why_not_isolated
from meshwarden.control.supervision.restarts import RestartPolicy
from meshwarden.control.supervision.wiring import wire
from meshwarden.control.watching import Pace
from meshwarden.kernel import DependencyError
from meshwarden.lab.bank.ledger_db import find_binaries
from meshwarden.lab.mesh import ACCESS_POLICY, render_mesh, render_tokens
from meshwarden.policy import AccessPolicy, parse_policy

CUSTOMERS: Final = 2000
SEED: Final = "meshwarden"
CARD_NETWORK_TIMEOUT_S: Final = 20.0
WATCH_TIMEOUT_S: Final = 90.0  # a busy machine loads compiled code slowly
_OPERATOR: Final = "the laboratory"
_PACED: Final = "behaviour: {paced: true}  # its customers live faster than the clock\n"


@dataclass(kw_only=True)
class Stage:
    """A running bank.

    Attributes:
        mesh: its mesh file, parsed.
        policy: its access policy.
        layout: where it keeps its files.
        supervisor: its processes.
        edge: the base URL at which customers reach it.
        database: `postgresql` or `sqlite`.
        card_network: where the card network answers, outside the mesh.
        not_isolated: why its services are not isolated; None where they are.
    """

    mesh: Mesh
    policy: AccessPolicy
    layout: Layout
    supervisor: Supervisor
    edge: str
    database: str
    card_network: str
    not_isolated: str | None
    _api: httpx.AsyncClient = field(init=False)

    def __post_init__(self) -> None:
        transport = httpx.AsyncHTTPTransport(uds=str(self.layout.api_socket))
        self._api = httpx.AsyncClient(transport=transport, base_url="http://api", timeout=10)

    def seen_from(self, service: str, address: Address, *, sidecar: bool = False) -> Elsewhere:
        """Return `address` as `service` has it before it, or as its sidecar has."""
        place, layout = self.supervisor.isolation, self.layout
        if place is None:
            opened: Callable[[], socket.socket] = socket.socket
        else:
            uid = layout.sidecar_uid(service) if sidecar else layout.service_uid(service)
            opened = partial(place.socket, service, uid=uid)
        return Elsewhere(address=(address.host, address.port), open_socket=opened)

    async def status(self) -> dict[str, Any]:
        """Return the control plane's status; DependencyError where it does not answer."""
        return await self._ask("GET", "/v1/status")

    async def flush(self) -> None:
        """Have every call that is known by now written to the store."""
        await self._ask("POST", "/v1/calls/flush")

    async def revoke(self, certificate: str, *, reason: str) -> dict[str, Any]:
        """Revoke a certificate (PEM); return what the control plane says when it is enforced."""
        body = {"target": certificate, "reason": reason}
        return await self._ask("POST", "/v1/identity/revoke", body)

    async def revoke_subject(self, subject: str) -> dict[str, Any]:
        """Revoke all that a customer has proven so far, at every hop."""
        body = {"kind": "subject", "value": subject, "reason": "reported stolen"}
        return await self._ask("POST", "/v1/tokens/revoke", body)

    async def watch_ready(self) -> None:
        """Return once the watch has its model; DependencyError after `WATCH_TIMEOUT_S`."""
        try:
            async with asyncio.timeout(WATCH_TIMEOUT_S):
                while not (await self.status())["watch"]["ready"]:  # noqa: ASYNC110
                    await asyncio.sleep(0.1)  # another program has no event to await
        except TimeoutError as error:
            raise DependencyError("lab.watch", "the watch never had its model") from error

    async def set_pace(self, pace: Pace) -> None:
        """Have the watch go by the bank's own time."""
        await self._ask("POST", "/v1/behaviour/pace", asdict(pace))

    async def incidents(self) -> list[dict[str, Any]]:
        """Return all incidents, oldest first."""
        found: list[dict[str, Any]] = (await self._ask("GET", "/v1/incidents"))["incidents"]
        return found

    async def pages(self) -> int:
        """Return how many times people were called about incidents."""
        store = FileFindingStore(self.layout.findings)
        found = await asyncio.to_thread(lambda: list(store.load_findings(limit=10_000)))
        return sum(one.code.startswith("response.") for one in found)

    async def incident(self, incident_id: str) -> dict[str, Any]:
        """Return one incident with its record."""
        return await self._ask("GET", f"/v1/incidents/{incident_id}")

    async def note(self, incident_id: str, text: str, figures: Mapping[str, object]) -> None:
        """Put on an incident's record what is known here."""
        body = {"who": _OPERATOR, "text": text, "figures": dict(figures)}
        await self._ask("POST", f"/v1/incidents/{incident_id}/note", body)

    async def close_incident(self, incident_id: str) -> None:
        """End an incident that is over."""
        await self._ask("POST", f"/v1/incidents/{incident_id}/close", {"who": _OPERATOR})

    async def respond(self, *, automatically: bool) -> None:
        """Have the mesh respond by itself, or only observe."""
        body = {"on": automatically, "who": _OPERATOR}
        await self._ask("POST", "/v1/incidents/automatic", body)

    async def received(self) -> dict[str, Any]:
        """Return what arrived at the card network for the merchant that is the attacker."""
        async with httpx.AsyncClient(timeout=10, trust_env=False) as client:
            try:
                response = await client.get(f"{self.card_network}/v1/received")
                response.raise_for_status()
            except httpx.HTTPError as error:
                raise DependencyError(
                    "lab.cardnetwork", f"the card network does not answer: {error}"
                ) from error
        found: dict[str, Any] = response.json()
        return found

    async def ledger_report(self) -> dict[str, Any]:
        """Return the ledger's own account of its books."""
        transport = httpx.AsyncHTTPTransport(uds=str(self.layout.app_socket("ledger")))
        async with httpx.AsyncClient(transport=transport, timeout=10) as client:
            found: dict[str, Any] = (await client.get("http://ledger/v1/report")).json()
        return found

    async def close(self) -> None:
        """Close the connection to the control plane."""
        await self._api.aclose()

    async def _ask(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        try:
            response = await self._api.request(method, path, json=body)
            response.raise_for_status()
        except httpx.HTTPError as error:
            raise DependencyError(
                "lab.api", f"the control plane does not answer {method} {path}: {error}"
            ) from error
        found: dict[str, Any] = response.json()
        return found


@contextlib.asynccontextmanager
async def staged(  # noqa: PLR0913  # what differs between two performances
    state: Path,
    *,
    environment: Mapping[str, str],
    on_line: Callable[[str, str], None] = lambda _name, _line: None,
    on_event: Callable[[Event], None] = lambda _event: None,
    postgresql: bool = True,
    loopback: bool = False,
    playbooks: tuple[str, ...] = ("observe",),
    guard_rails: str | None = None,
    attacked: Collection[str] = (),
    access_policy: str | None = None,
    restarts: RestartPolicy | None = None,
) -> AsyncIterator[Stage]:
    """Run the bank on the directory `state` while the context lasts.

    Args:
        state: an existing private directory.
        environment: variables that every process inherits.
        on_line: takes each line of output.
        on_event: takes each start, exit and restart.
        postgresql: keep the ledger in PostgreSQL where its programs are on the machine.
        loopback: do not isolate its services, though that could be done.
        playbooks: how it responds to what is found, in order of preference.
        guard_rails: text of their file; None: the defaults.
        attacked: services in which an intruder is to be; known ahead where they are not isolated.
        access_policy: text of another policy than the bank's own.
        restarts: when processes that ended are started again; None: the default.

    Raises:
        ConfigError: where something cannot be started.
        DependencyError: where something never becomes healthy.
    """
    edge, card_network = _free_ports(2)
    why = why_not_isolated(loopback=loopback)
    database = _database_settings(state, isolated=why is None) if postgresql else {}
    mesh_file = state / "mesh.yaml"
    text = render_mesh(
        python=sys.executable,
        edge_port=edge,
        card_network=f"127.0.0.1:{card_network}",
        customers=CUSTOMERS,
        seed=SEED,
        holes_in=attacked if why is not None else (),
        policy=_access_policy(state, access_policy),
        **database,
    )
    (state / "tokens.yaml").write_text(render_tokens(edge_port=edge))
    mesh_file.touch(mode=0o600)
    mesh_file.write_text(f"{text}{_PACED}{_response(state, playbooks, guard_rails)}")
    mesh = parse_mesh(load_document(mesh_file), state)
    policy = parse_policy(load_document(mesh.policy_path))
    check_against(mesh, policy)
    layout = lay_out(mesh, state, isolated=why is None)
    supervisor = Supervisor(
        mesh,
        layout,
        wire(mesh_file, mesh, policy, layout),
        environment=environment,
        on_line=on_line,
        on_event=on_event,
        restarts=restarts,
    )
    async with _card_network(card_network, state, environment, on_line), supervisor:
        stage = Stage(
            mesh=mesh,
            policy=policy,
            layout=layout,
            supervisor=supervisor,
            edge=f"http://127.0.0.1:{edge}",
            database="postgresql" if database else "sqlite",
            card_network=f"http://127.0.0.1:{card_network}",
            not_isolated=why,
        )
        try:
            yield stage
        finally:
            await stage.close()


def _access_policy(state: Path, text: str | None) -> str:
    """Return where the access policy is, having written another than the bank's own."""
    if text is None:
        return str(ACCESS_POLICY)
    path = state / "access.yaml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def _response(state: Path, playbooks: tuple[str, ...], guard_rails: str | None) -> str:
    """Return the mesh file's section, having written the guard rails that it names."""
    named = ""
    if guard_rails is not None:
        (state / "guard-rails.yaml").write_text(guard_rails)
        named = ", guard_rails: guard-rails.yaml"
    return f"response: {{playbooks: [{', '.join(playbooks)}]{named}}}\n"


@contextlib.asynccontextmanager
async def _card_network(
    port: int, directory: Path, environment: Mapping[str, str], on_line: Callable[[str, str], None]
) -> AsyncIterator[None]:
    """Run the card network, another company's machine, outside the mesh."""
    program = Program(
        name="cardnetwork",
        command=(sys.executable, "-P", "-m", "meshwarden.lab.bank.cardnetwork", str(port)),
        environment=dict(environment),
        directory=directory,
    )
    with contextlib.closing(Guard()) as guard:
        child = await Child.start(program, guard=guard, sink=on_line)
        try:
            async with asyncio.timeout(CARD_NETWORK_TIMEOUT_S):
                while not await accepts(("127.0.0.1", port)):  # noqa: ASYNC110
                    await asyncio.sleep(0.05)  # another program has no event to await
            yield
        except TimeoutError as error:
            raise DependencyError("lab.cardnetwork", "the card network never answered") from error
        finally:
            await child.stop(grace_s=5)


def _database_settings(state: Path, *, isolated: bool) -> dict[str, str]:
    """Return the settings of a ledger on PostgreSQL; empty where it cannot run here.

    PostgreSQL refuses to run as root: there it needs an account of its own, which has to reach its
    launcher and its directory below `state`.
    """
    if find_binaries() is None:
        return {}
    settings = {"database_password": secrets.token_urlsafe(24)}
    if isolated or os.geteuid() != 0:  # isolated, each service has an account of its own
        return settings
    try:
        pwd.getpwnam("postgres")
    except KeyError:
        return {}
    if not all(map(open_to_others, (Path(sys.executable), Path(__file__), state))):
        return {}
    return settings | {"database_user": "postgres"}


def _free_ports(count: int) -> list[int]:
    """Return ports of 127.0.0.1 that nobody listens on now."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
