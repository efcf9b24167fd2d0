"""Whom a suspect may meet, as policy has it: those that it calls, and those that call it."""

from collections.abc import Mapping
from dataclasses import dataclass

from meshwarden.adapters.envoy.model import Sidecar


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbourhood:
    """The services around one.

    Attributes:
        suspect: the one.
        port: where its sidecar takes mutual TLS; None where it takes nothing.
        callees: those that it may call, each with where its sidecar takes that.
        callers: those that may call it.
    """

    suspect: str
    port: int | None
    callees: Mapping[str, int]
    callers: tuple[str, ...]


def neighbourhood_of(suspect: str, sidecars: Mapping[str, Sidecar]) -> Neighbourhood:
    """Return the services around `suspect`, among all `sidecars` by name."""
    own = sidecars[suspect]
    listening = [own.inbound] if own.inbound else [one.listen for one in own.tcp]
    return Neighbourhood(
        suspect=suspect,
        port=listening[0].port if listening else None,
        callees={callee.service: callee.endpoints[0].port for callee in own.callees},
        callers=tuple(
            name
            for name, sidecar in sidecars.items()
            if any(callee.service == suspect for callee in sidecar.callees)
        ),
    )
