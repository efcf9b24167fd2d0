"""What verifies identities: our own bundle with its sequence number, and those of other domains.

The bundle's sequence number grows with each change of roots or keys, across restarts. Where the new
state cannot be stored (a full disk), the old one stays shown and in use: a key that others could
not have seen must not sign.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from meshwarden.adapters.storage.jwt_keys import KeptKeys, load_jwt_keys, store_jwt_keys
from meshwarden.identity import (
    Bundle,
    JwtKey,
    TrustBundle,
    build_bundle,
    render_bundle,
    rotate_keys,
)
from meshwarden.kernel import Clock, DependencyError

_log = structlog.get_logger()


@dataclass(kw_only=True)
class Trust:
    """Our own bundle and JWT keys.

    Attributes:
        clock: the time of day.
        path: where keys and sequence number are kept.
        roots: our roots now; asked each time, as they may be replaced.
        federated: the bundles of other trust domains now.
    """

    clock: Clock
    path: Path
    roots: Callable[[], TrustBundle]
    federated: Callable[[], Mapping[str, Bundle]] = dict
    _kept: KeptKeys = field(init=False)
    _own: Bundle = field(init=False)

    def __post_init__(self) -> None:
        self._kept = load_jwt_keys(self.path)
        if self._kept.keys:
            self._own = build_bundle(self.roots(), self._kept.keys, sequence=self._kept.sequence)
            self.update()  # on a full disk it goes on with what it has
        else:
            self._adopt(rotate_keys((), now=self.clock.now()))

    @property
    def own(self) -> Bundle:
        """Our own bundle."""
        return self._own

    def jwt_keys(self) -> tuple[JwtKey, ...]:
        """Return the keys of JWT-SVIDs."""
        return self._kept.keys

    def bundles(self) -> Mapping[str, Bundle]:
        """Return all bundles by trust domain, our own first and never another's in its place."""
        own = self._own
        others = {name: one for name, one in self.federated().items() if name != own.trust_domain}
        return {own.trust_domain: own} | others

    def update(self, *, rotate: bool = False) -> bool:
        """Rotate what is due, look at the roots again; return whether the own bundle changed.

        Args:
            rotate: publish the next key of JWT-SVIDs now; it signs once others have had time to
                see it.
        """
        before = self._own
        keys = rotate_keys(self._kept.keys, now=self.clock.now(), force=rotate)
        try:
            self._adopt(keys)
        except DependencyError as error:
            _log.error("bundle_not_stored", error=str(error))
            return False
        return self._own.sequence != before.sequence

    def _adopt(self, keys: tuple[JwtKey, ...]) -> None:
        roots = self.roots()
        draft = build_bundle(roots, keys, sequence=self._kept.sequence)
        shown = _digest(draft)
        if shown != self._kept.shown:
            kept = KeptKeys(keys=keys, sequence=self._kept.sequence + 1, shown=shown)
            store_jwt_keys(self.path, kept)
            self._kept = kept
        self._own = build_bundle(roots, self._kept.keys, sequence=self._kept.sequence)


def _digest(bundle: Bundle) -> str:
    """Return what two bundles with the same keys share; their order says nothing."""
    keys = sorted(json.dumps(key, sort_keys=True) for key in render_bundle(bundle)["keys"])
    return hashlib.sha256("\n".join(keys).encode()).hexdigest()
