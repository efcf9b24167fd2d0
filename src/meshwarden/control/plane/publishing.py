"""Keeps every sidecar on the policy in force, and replaces that by a better one alone.

- A policy change is compiled whole before anything is pushed; an error pushes nothing. Changes are
  taken one after the other: an older one that took longer never replaces a newer one.
- What differs is pushed, and mostly that is the filters alone.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

import structlog
from envoy.config.route.v3.route_pb2 import RouteConfiguration
from envoy.extensions.transport_sockets.tls.v3.secret_pb2 import Secret

from meshwarden.adapters.envoy.ads import FILTERS, ROUTES, SECRETS, DiscoveryServer
from meshwarden.adapters.envoy.border import build_border
from meshwarden.adapters.envoy.listeners import build_policy_filters, build_routes
from meshwarden.adapters.envoy.model import Filters
from meshwarden.adapters.envoy.snapshot import build_federated, build_snapshot
from meshwarden.adapters.envoy.tls import svid_secret
from meshwarden.adapters.envoy.verification import Verification, verification_resource
from meshwarden.control.fabric import compile_filters, plan_border
from meshwarden.control.hosts import store_hosts
from meshwarden.control.layout import BORDER, Layout
from meshwarden.control.mesh import Mesh
from meshwarden.control.plane.alarms import Alarms
from meshwarden.control.plane.certificates import Certificates
from meshwarden.control.plane.identities import Identities
from meshwarden.control.plane.published import (
    Published,
    digest_of,
    load_published,
    store_accepted,
)
from meshwarden.kernel import MeshwardenError
from meshwarden.tokens.edge import EdgeAccess

POLICY_LOOK_S: Final = 0.5
_log = structlog.get_logger()


@dataclass(kw_only=True)
class Publisher:
    """Pushes policy and certificates to the sidecars of one mesh.

    Attributes:
        mesh: what runs.
        layout: where.
        server: where the sidecars are told.
        certificates: what is issued to them.
        identities: what verifies them, and what is revoked.
        alarms: takes what goes wrong.
        published: the policy in force.
        federated: the roots of other trust domains now.
        verification: what tokens are verified with now; None where the mesh has no token service.
        access: what the edge of a service lets in; None: its service decides.
        shown: what the edge of a service shows customers; None: it listens in the clear.
        certified: told when every service of a new policy has a certificate.
        replaced: told each policy that has come into force.
        isolated: the services in quarantine.
        awaited: those of them that are just being replaced.
        throttled: services that may send only so many requests a second.
        error: why the policy file as it stands is not in force; None where it is.
    """

    mesh: Mesh
    layout: Layout
    server: DiscoveryServer
    certificates: Certificates
    identities: Identities
    alarms: Alarms
    published: Published
    federated: Callable[[], Secret]
    certified: Callable[[], None]
    replaced: Callable[[Published], None]
    verification: Callable[[], Verification | None] = lambda: None
    access: Callable[[str], EdgeAccess | None] = lambda _: None
    shown: Callable[[str], Secret | None] = lambda _: None
    isolated: Callable[[], frozenset[str]] = frozenset
    awaited: Callable[[], frozenset[str]] = frozenset
    throttled: Callable[[], Mapping[str, int]] = dict
    error: str | None = field(init=False, default=None)
    _seen: str = field(init=False)
    _changing: asyncio.Lock = field(init=False, default_factory=asyncio.Lock)

    def __post_init__(self) -> None:
        self._seen = digest_of(self.mesh.policy_path)

    async def begin(self, rejected: MeshwardenError | None) -> None:
        """Publish the first policy; `rejected`: why it is not the policy file's."""
        if rejected is None:
            await self._keep_accepted()
        else:
            self._refuse(rejected)
        self.certify()
        self._publish_border()
        for name in self.mesh.services:
            self._publish(name)

    async def reload(self) -> str | None:
        """Push the policy file as it stands now; return the error that kept it out, if any."""
        async with self._changing:
            return await self._reload()

    async def watch(self) -> None:
        """Reload the file when it has changed, and then not again until the next look.

        A file that is just being written can be valid, and mean something else.
        """
        last = self._seen
        while True:
            await asyncio.sleep(POLICY_LOOK_S)
            digest = digest_of(self.mesh.policy_path)
            if digest != self._seen and digest == last:
                await self.reload()
            last = digest

    def certify(self, published: Published | None = None) -> None:
        """Hold an SVID for every service under the identity that the policy gives it."""
        services = (published or self.published).policy.services
        self.certificates.keep({name: services[name].identity for name in self.mesh.services})
        self.certified()

    def renewed(self, name: str) -> None:
        """Hand the service's sidecar the certificate that is issued to it now."""
        secret = self._svid(name)
        self.server.update(name, SECRETS, secret.name, secret)

    def federate(self) -> None:
        """Tell the sidecars that meet workloads of other trust domains those domains' roots."""
        secret = self.federated()
        for name in self.mesh.services:
            for one in build_federated(self.published.sidecars[name], secret):
                self.server.update(name, SECRETS, one.name, one)

    def verify(self) -> None:
        """Tell every sidecar what tokens are verified with now."""
        verification = self.verification()
        if verification is None:
            return
        resource = verification_resource(verification)
        for name in self.mesh.services:
            if self.published.sidecars[name].verifies_tokens:
                self.server.update(name, FILTERS, resource.name, resource)

    def show(self, name: str) -> None:
        """Tell an edge the certificate that it shows customers now."""
        secret = self.shown(name)
        if secret is not None:
            self.server.update(name, SECRETS, secret.name, secret)

    def open_edges(self) -> None:
        """Tell the edges what they let in now."""
        for name, sidecar in self.published.sidecars.items():
            if sidecar.edge is not None:
                self.push_routes(name)

    def isolate(self, service: str) -> dict[str, set[tuple[str, str]]]:
        """Tell of a change of `isolated` or `awaited`; return what each was told.

        Those that `service` may call are told filters, those that may call it are told routes.
        """
        sidecars = self.published.sidecars
        callees = {callee.service for callee in sidecars[service].callees}
        told = {name: self._push_filters(name) for name in {service, *callees}}
        for name, sidecar in sidecars.items():
            if any(callee.service == service for callee in sidecar.callees):
                told[name] = told.get(name, set()) | self.push_routes(name)
        return told

    def push_routes(self, name: str) -> set[tuple[str, str]]:
        """Tell one sidecar its routes as they are now; return what it was told."""
        found = self._routes(name)
        for resource, config in found.items():
            self.server.update(name, ROUTES, resource, config)
        return {(ROUTES, resource) for resource in found}

    async def _reload(self) -> str | None:
        self._seen = digest_of(self.mesh.policy_path)
        try:
            published = await asyncio.to_thread(
                load_published, self.mesh.policy_path, self.mesh, self.layout
            )
            self.certify(published)
        except MeshwardenError as error:
            self._refuse(error)
            return self.error
        self.error = None
        if published.digest != self.published.digest:
            before, self.published = self.published, published
            self._publish_border()
            for name in self.mesh.services:
                self._publish_change(name, before)
            self.replaced(published)
            await self._keep_accepted()  # the sidecars are sent theirs meanwhile
            _log.info("policy_published", sha256=published.digest)
        return None

    def _refuse(self, error: MeshwardenError) -> None:
        if self.error != str(error):
            self.error = str(error)
            self.alarms.policy_refused(self.mesh.policy_path, error)

    async def _keep_accepted(self) -> None:
        """Keep the policy in force for a start while the file is broken; no condition of it."""
        try:
            await asyncio.to_thread(store_accepted, self.published, self.layout)
        except OSError as error:
            self.alarms.policy_not_kept(self.layout.accepted_policy, error)

    def _publish_border(self) -> None:
        """Open the ways out first: a sidecar is sent nowhere before the border leads there."""
        if not self.layout.isolated:
            return
        passages = plan_border(self.published.policy, self.mesh, self.layout)
        self.server.publish(BORDER, build_border(passages))
        try:
            store_hosts(self.published.policy, self.layout)
        except OSError as error:
            self.alarms.hosts_not_written(self.layout.run_dir, error)

    def _publish(self, name: str) -> None:
        snapshot = build_snapshot(
            self.published.sidecars[name],
            self._filters(name),
            svid=self._svid(name),
            bundle=self.identities.trust.bundle.pem,
            crls=self.identities.crls,
            containment=self.identities.containment(),
            federated=self.federated(),
            verification=self.verification(),
            routes=self._routes(name),
            edge=self.shown(name),
        )
        self.server.publish(name, snapshot)

    def _publish_change(self, name: str, before: Published) -> None:
        sidecar, filters = self.published.sidecars[name], self.published.filters[name]
        if sidecar != before.sidecars[name]:
            self._publish(name)
        elif filters != before.filters[name]:
            self._push_filters(name)

    def _push_filters(self, name: str) -> set[tuple[str, str]]:
        found = build_policy_filters(self.published.sidecars[name], self._filters(name))
        for resource, config in found.items():
            self.server.update(name, FILTERS, resource, config)
        return {(FILTERS, resource) for resource in found}

    def _routes(self, name: str) -> dict[str, RouteConfiguration]:
        rate = self.throttled().get(name)
        return build_routes(
            self.published.sidecars[name],
            self.awaited(),
            rate_per_s=rate,
            access=self.access(name),
        )

    def _filters(self, name: str) -> Filters:
        if not (isolated := self.isolated()):
            return self.published.filters[name]
        return compile_filters(self.published.policy, name, isolated=isolated)

    def _svid(self, name: str) -> Secret:
        svid = self.certificates.current(name)
        return svid_secret(svid.certificate_chain, svid.private_key.reveal())
