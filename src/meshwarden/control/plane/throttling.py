"""Services that may send only so many requests a second, each at its own sidecar."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from meshwarden.adapters.envoy.ads import DiscoveryServer
from meshwarden.control.plane.publishing import Publisher
from meshwarden.kernel import InputError

CONFIRMING_S: Final = 2.0


@dataclass(kw_only=True)
class Throttling:
    """The limits of one mesh; kept by the caller, as quarantine is."""

    publisher: Callable[[], Publisher]
    server: DiscoveryServer
    _rates: dict[str, int] = field(default_factory=dict)

    def rates(self) -> Mapping[str, int]:
        """Return the services that are limited, each with its requests a second."""
        return self._rates

    def begin(self, rates: Mapping[str, int]) -> None:
        """Have these limits from the start; nobody is told yet."""
        self._rates = dict(rates)

    async def limit(self, service: str, rate_per_s: int) -> bool:
        """Limit `service`; return whether its sidecar has confirmed it.

        Raises:
            InputError: `throttle.unknown`.
        """
        if service not in self.publisher().published.sidecars:
            raise InputError("throttle.unknown", f"no service is {service!r}", where="throttle")
        self._rates[service] = rate_per_s
        return await self._tell(service)

    async def free(self, service: str) -> bool:
        """Take the limit away; return whether its sidecar has confirmed that."""
        self._rates.pop(service, None)
        return await self._tell(service)

    async def _tell(self, service: str) -> bool:
        told = self.publisher().push_routes(service)
        if not self.server.connected(service):
            return False
        try:
            async with asyncio.timeout(CONFIRMING_S):
                await self.server.answered(service, told)
        except TimeoutError:
            return False
        return True
