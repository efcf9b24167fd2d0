"""Keeps the bundles of federated trust domains fresh, each under its own name and nobody else's.

Polls at the domain's own refresh hint (five minutes where it gives none). A poll that fails, a
document that breaks the format, and a sequence number that went back all leave the last good
bundle in force; the first failure in a row becomes a finding. Good bundles are kept on disk, so
that a start while the partner is away trusts what was trusted before.
"""

import asyncio
import functools
import json
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import structlog

from meshwarden.adapters.spiffe.bundle_client import fetch_bundle_spiffe, fetch_bundle_web
from meshwarden.adapters.storage.durable import write_whole
from meshwarden.control.federation import FederatedDomain, Profile
from meshwarden.identity import Bundle, create_root, parse_bundle, render_bundle
from meshwarden.identity.bundle import REFRESH_HINT_S
from meshwarden.identity.model import render_certificates
from meshwarden.kernel import (
    Clock,
    ConfigError,
    Finding,
    InputError,
    MeshwardenError,
    Severity,
)

MIN_POLL_S: Final = 1.0
NOBODY: Final = "nobody.invalid"
_LONG_AGO: Final = datetime(2020, 1, 1, tzinfo=UTC)
_log = structlog.get_logger()


@dataclass(kw_only=True)
class Federation:
    """The federated bundles.

    Attributes:
        domains: as the mesh file names them.
        directory: where good bundles are kept.
        changed: told when a bundle has changed.
    """

    domains: Sequence[FederatedDomain]
    directory: Path
    clock: Clock
    tell: Callable[[Finding], None]
    changed: Callable[[], None] = lambda: None
    _bundles: dict[str, Bundle] = field(init=False, default_factory=dict)
    _failing: set[str] = field(init=False, default_factory=set)

    def __post_init__(self) -> None:
        for domain in self.domains:
            bundle = self._load(domain)
            if bundle is not None:
                self._bundles[domain.trust_domain] = bundle

    def bundles(self) -> Mapping[str, Bundle]:
        """Return the bundles that are known, by trust domain."""
        return dict(self._bundles)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Poll while the context lasts."""
        tasks = [asyncio.create_task(self._follow(domain)) for domain in self.domains]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def poll(self, domain: FederatedDomain) -> None:
        """Ask once; MeshwardenError where that brings no usable bundle."""
        name = domain.trust_domain
        known = self._bundles.get(name)
        if domain.profile is Profile.WEB:
            raw = await fetch_bundle_web(domain.url, domain.web_roots)
        else:
            assert domain.endpoint_identity  # noqa: S101  # parsed so
            raw = await fetch_bundle_spiffe(
                domain.url, domain.endpoint_identity, known or Bundle(trust_domain=name)
            )
        found = parse_bundle(raw, name, where=domain.url)
        if known and (known.sequence or 0) > (found.sequence or 0):
            raise InputError(
                "federation.sequence",
                f"sequence {found.sequence} is older than the known {known.sequence}",
                where=domain.url,
            )
        if known is None or render_bundle(found) != render_bundle(known):
            self._keep(name, found)
            self._bundles[name] = found
            _log.info("federated_bundle", trust_domain=name, sequence=found.sequence)
            self.changed()

    async def _follow(self, domain: FederatedDomain) -> None:
        while True:
            try:
                await self.poll(domain)
                self._failing.discard(domain.trust_domain)
            except MeshwardenError as error:
                self._failed(domain, error)
            known = self._bundles.get(domain.trust_domain)
            hint = known.refresh_hint_s if known else None
            await asyncio.sleep(max(MIN_POLL_S, REFRESH_HINT_S if hint is None else hint))

    def _load(self, domain: FederatedDomain) -> Bundle | None:
        """Return the bundle that was kept last, or the first one that the user brings."""
        kept = self._path(domain.trust_domain)
        for path in (kept, domain.bundle):
            try:
                if path is not None and (path != kept or path.exists()):
                    return parse_bundle(path.read_bytes(), domain.trust_domain, where=str(path))
            except OSError as error:
                raise ConfigError(
                    "federation.bundle", f"cannot read {path}: {error.strerror}"
                ) from error
        return None

    def _keep(self, name: str, bundle: Bundle) -> None:
        text = json.dumps(render_bundle(bundle))
        try:
            self.directory.mkdir(mode=0o700, exist_ok=True)
            write_whole(self._path(name), lambda temporary: _write(temporary, text))
        except OSError as error:  # it is in force all the same, until the next start
            _log.error("federated_bundle_not_kept", trust_domain=name, error=str(error))

    def _path(self, name: str) -> Path:
        return self.directory / f"{name}.json"

    def _failed(self, domain: FederatedDomain, error: MeshwardenError) -> None:
        _log.warning("federation_failed", trust_domain=domain.trust_domain, error=str(error))
        if domain.trust_domain in self._failing:
            return
        self._failing.add(domain.trust_domain)
        finding = Finding(
            time=int(self.clock.now().timestamp() * 1_000_000) * 1000,
            code="federation.failed",
            subject=domain.trust_domain,
            severity=Severity.MEDIUM,
            sentence=f"The bundle was not renewed, the last good one stays in force: {error}",
        )
        self.tell(finding)


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="ascii")


def federated_roots(bundles: Iterable[Bundle]) -> dict[str, str]:
    """Return the roots (PEM) by trust domain, those without roots left out; never nothing.

    A validator needs one trust domain at least. Where there is none, it is given one that is
    reserved (RFC 2606), with a root whose key is thrown away: it verifies nobody.
    """
    found = {one.trust_domain: one.roots.pem for one in bundles if one.certificates}
    return found or {NOBODY: _nobody_root()}


@functools.cache
def _nobody_root() -> str:
    root = create_root(NOBODY, now=_LONG_AGO, serial=1 << 100)
    return render_certificates((root.certificate,))
