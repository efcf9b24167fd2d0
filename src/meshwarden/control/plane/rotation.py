"""Replaces the authority that signs, or its root too, without refusing a call.

1. A successor is made and kept on disk. It signs nothing yet.
2. Its root and its revocation list go to every sidecar. Not before all of them have confirmed does
   the next step begin, however long that takes: a sidecar that does not know the successor would
   refuse what it signs.
3. The successor signs: every sidecar gets a fresh certificate.
4. When the last certificate of the predecessor has ended, it leaves bundle and disk.

A control plane that is started again goes on with the step that it was at. Revocations go on
throughout; both authorities list what they have signed.
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from meshwarden.adapters.envoy.ads import SECRETS, DiscoveryServer
from meshwarden.adapters.envoy.tls import SVID
from meshwarden.adapters.storage.authority import load_brought_authority
from meshwarden.adapters.storage.authority_brought import prepare_brought, switch_brought
from meshwarden.adapters.storage.authority_rotation import (
    prepare_authority,
    remove_ended,
    switch_authority,
)
from meshwarden.control.plane.certificates import Certificates
from meshwarden.control.plane.identities import Identities
from meshwarden.identity import issuer_name
from meshwarden.kernel import Chance, Clock, ConfigError

_log = structlog.get_logger()


@dataclass(kw_only=True)
class Rotation:
    """The rotation of one mesh's authorities.

    Attributes:
        directory: the authority's own.
        brought: whether the user brings the authorities; then none is made here.
        server: where the sidecars are told.
        identities: holds the authorities.
        certificates: what the sidecars hold.
        sidecars: their names.
        push: tells every sidecar bundle and revocation lists as they are now; says what it told.
        renewed: tells a sidecar its certificate.
        clock: the time of day.
        chance: serial numbers.
    """

    directory: Path
    brought: bool
    server: DiscoveryServer
    identities: Identities
    certificates: Certificates
    sidecars: Iterable[str]
    push: Callable[[], Mapping[str, set[tuple[str, str]]]]
    renewed: Callable[[str], None]
    clock: Clock
    chance: Chance
    _task: "asyncio.Task[None] | None" = field(init=False, default=None)
    _told: dict[str, set[tuple[str, str]]] = field(init=False, default_factory=dict)

    @property
    def step(self) -> str:
        """What is going on: `none`, `prepared` (waiting for sidecars) or `retiring`."""
        trust = self.identities.trust
        if trust.prepared is not None:
            return "prepared"
        return "retiring" if trust.retired else "none"

    @property
    def waiting_for(self) -> list[str]:
        """The sidecars that do not know the successor yet."""
        if self.identities.trust.prepared is None:
            return []
        return [name for name, told in self._told.items() if self.server.awaits(name, told)]

    @property
    def is_due(self) -> bool:
        """Whether the intermediate is in the second half of its life."""
        issuer = self.identities.trust.current.issuer
        life = issuer.not_valid_after_utc - issuer.not_valid_before_utc
        half = issuer.not_valid_before_utc + life / 2
        return not self.brought and self.clock.now() >= half

    async def rotate(self, *, new_root: bool, within_s: float) -> None:
        """Replace the authority; return when the successor signs, or after `within_s`.

        It goes on after that by itself. Asked again meanwhile, it waits for what is going on.

        Raises:
            ConfigError: `authority.brought` where the user brings the authority;
                `authority.root_key_elsewhere`.
            DependencyError: `authority.storage`.
        """
        if self.brought:
            raise ConfigError(
                "authority.brought",
                "this mesh's authority is one that was brought: its successor is, too",
                hint="meshwarden identity rotate --certificates NEW.pem --key NEW.key",
            )
        if self.identities.trust.prepared is None:
            self.identities.trust = await asyncio.to_thread(
                prepare_authority,
                self.directory,
                self.identities.trust,
                new_root=new_root,
                now=self.clock.now(),
                draw_serial=self.chance.serial,
            )
        await self._wait(within_s)

    async def rotate_to(self, *, certificates: Path, key: Path, within_s: float) -> None:
        """Replace a brought authority with the one in these files; otherwise as `rotate`.

        Raises:
            ConfigError: `authority.own` where the authority is none that was brought;
                `authority.brought`, `authority.same`, `authority.no_lists`, `file.unreadable`;
                `authority.rotating` where another successor is prepared.
            StateError: `authority.readable` where others could read the key.
            DependencyError: `authority.storage`.
        """
        trust, now = self.identities.trust, self.clock.now()
        if not self.brought:
            raise ConfigError(
                "authority.own",
                "this mesh makes its authorities by itself",
                hint="rotate without files, or name yours in mesh.yaml and start again",
            )
        successor = await asyncio.to_thread(
            load_brought_authority,
            trust.current.trust_domain,
            certificates=certificates,
            key=key,
            now=now,
        )
        if trust.prepared is None:
            self.identities.trust = await asyncio.to_thread(
                prepare_brought, self.directory, trust, successor
            )
        elif issuer_name(trust.prepared) != issuer_name(successor):
            raise ConfigError(
                "authority.rotating",
                f"{issuer_name(trust.prepared)} is prepared already, and is not known everywhere",
                hint="`meshwarden identity list` shows which sidecars it waits for",
            )
        await self._wait(within_s)

    async def _wait(self, within_s: float) -> None:
        task = self.go_on()
        if task is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(within_s):
                    await asyncio.shield(task)

    def go_on(self) -> "asyncio.Task[None] | None":
        """Go on with a rotation that is prepared, in the background."""
        if self.identities.trust.prepared is None:
            return None
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._switch())
        return self._task

    async def look(self) -> None:
        """Begin what is due, go on with what was left, end what is over."""
        if self._task is not None and self._task.done():
            task, self._task = self._task, None
            if not task.cancelled() and (error := task.exception()):
                _log.error("rotation_failed", error=str(error))
        self.go_on()
        trust = self.identities.trust
        if trust.prepared is None and not trust.retired and self.is_due:
            with contextlib.suppress(ConfigError):  # the root's key is kept elsewhere
                await self.rotate(new_root=False, within_s=0)
        left = trust.without_ended(now=self.clock.now())
        if left is not trust:
            self.identities.trust = left
            self.push()
            remove_ended(self.directory, left, now=self.clock.now())
            self.identities.lists.keep_only(left.authorities)
            _log.info("authority_removed", left=[issuer_name(one) for one in left.authorities])

    async def close(self) -> None:
        """Leave off; the next start goes on."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _switch(self) -> None:
        self._told = {
            name: {one for one in told if one[0] == SECRETS} for name, told in self.push().items()
        }
        await self._answered(self._told)
        trust = self.identities.trust
        last = self.identities.register.last_end(issuer_name(trust.current))
        until = max(last or self.clock.now(), self.clock.now())
        self.identities.trust = await asyncio.to_thread(
            switch_brought if self.brought else switch_authority,
            self.directory,
            trust,
            until=until,
        )
        for name in self.certificates.adopt(self.identities.trust.current):
            self.renewed(name)
        _log.info("authority_switched", issuer=issuer_name(self.identities.trust.current))
        await self._answered({name: {(SECRETS, SVID)} for name in self.sidecars})

    async def _answered(self, told: Mapping[str, set[tuple[str, str]]]) -> None:
        """Wait for all, connected or not."""
        await asyncio.gather(*(self.server.answered(name, what) for name, what in told.items()))
