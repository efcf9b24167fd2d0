"""Whether what the proxies run is what the policy says: drift between compiled and acknowledged.

The policy in force is compiled afresh and its digest, filter by filter, held against the version
that each proxy last acknowledged. A proxy that was just sent a change has not answered yet; so only
what differs at two looks in a row becomes a finding, once for as long as it lasts.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from meshwarden.adapters.envoy.ads import FILTERS
from meshwarden.adapters.envoy.delta import Acknowledgement, versioned
from meshwarden.adapters.envoy.listeners import build_policy_filters
from meshwarden.control.fabric import compile_filters
from meshwarden.control.plane.published import Published

LOOK_S: Final = 5.0

Versions = Mapping[str, str]
"""The version that each policy filter of one proxy should have, by name."""


def compiled_versions(
    published: Published, isolated: frozenset[str] = frozenset()
) -> dict[str, Versions]:
    """Return what the policy compiles to now, by service: the version of each filter.

    `isolated` are the services in quarantine.
    """
    return {
        name: {
            resource: versioned(config).version
            for resource, config in build_policy_filters(
                sidecar, compile_filters(published.policy, name, isolated=isolated)
            ).items()
        }
        for name, sidecar in published.sidecars.items()
    }


def drift_of(wanted: Versions, answers: Iterable[Acknowledgement]) -> tuple[str, ...]:
    """Return the filters of one proxy that it does not run as the policy compiles to now."""
    running = {
        answer.name: answer.version
        for answer in answers
        if answer.type_url == FILTERS and answer.error is None
    }
    return tuple(sorted(name for name in wanted if running.get(name) != wanted[name]))


@dataclass(kw_only=True)
class Enforcement:
    """Looks, and tells of what lasts.

    Attributes:
        published: the policy in force.
        answers: the newest answer of a proxy about each resource.
        connected: whether a proxy has a stream open; of one that has not, nothing new is known.
        tell: takes a service and the filters that it does not enforce as written.
        isolated: the services in quarantine.
    """

    published: Callable[[], Published]
    answers: Callable[[str], Iterable[Acknowledgement]]
    connected: Callable[[str], bool]
    tell: Callable[[str, tuple[str, ...]], None]
    isolated: Callable[[], frozenset[str]] = frozenset
    _compiled_from: tuple[Published, frozenset[str]] | None = None
    _wanted: dict[str, Versions] = field(default_factory=dict)
    _before: dict[str, tuple[str, ...]] = field(default_factory=dict)
    _told: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def drift(self, name: str) -> tuple[str, ...]:
        """Return the policy filters that the sidecar of `name` does not run as written."""
        written = self.published(), self.isolated()
        if written != self._compiled_from:
            self._wanted, self._compiled_from = compiled_versions(*written), written
        return drift_of(self._wanted.get(name, {}), self.answers(name))

    def look(self) -> None:
        """Compare once; tell of what differed at the last look, too."""
        for name in self.published().sidecars:
            drift = self.drift(name)
            if not drift:
                self._told.pop(name, None)
            elif drift == self._before.get(name) and self.connected(name):
                if self._told.get(name) != drift:
                    self.tell(name, drift)
                self._told[name] = drift
            self._before[name] = drift

    async def run(self) -> None:
        """Look every `LOOK_S` seconds, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_S)
            self.look()
