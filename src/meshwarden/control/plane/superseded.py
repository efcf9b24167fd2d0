"""Which connections a sidecar began under certificates that it presents no more.

A sidecar that gets a fresh certificate goes on with the connections that it has. Nothing tells
afterwards which certificate one of them was begun with; so they are listed at the moment at which
the sidecar has confirmed the next one. What a connection carries in those milliseconds may be
counted to the certificate before.

A control plane that was started again does not know what came before: the connections that it finds
are then counted to each certificate of the service that has not ended. Cut is rather too much than
a thief's stream kept.
"""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field

from meshwarden.adapters.network.established import Connection
from meshwarden.control.plane.severing import Marked

_NONE: frozenset[Connection] = frozenset()


@dataclass(kw_only=True)
class Superseded:
    """The connections begun under each certificate.

    Attributes:
        mark: lists the connections that services' sidecars have now (`Severing.mark`).
    """

    mark: Callable[[Iterable[str]], Marked]
    _presented: dict[str, str] = field(init=False, default_factory=dict)
    _begun: dict[str, dict[str, frozenset[Connection]]] = field(init=False, default_factory=dict)

    def presents(self, service: str, sha256: str, *, known: Iterable[str]) -> None:
        """Take note that the sidecar of `service` presents the certificate `sha256` from now on.

        `known` are the service's certificates that have not ended.
        """
        last = self._presented.get(service)
        if last == sha256:
            return
        here = self.mark([service]).get(service)
        if here is None:  # not isolated, or not told by the kernel: the next time has these, too
            return
        self._presented[service] = sha256
        known = set(known) - {sha256}
        begun = {
            each: alive
            for each, connections in self._begun.get(service, {}).items()
            if each in known and (alive := connections & here)
        }
        since = here - _NONE.union(*begun.values())
        begun |= dict.fromkeys(known if last is None else {last}, since) if since else {}
        self._begun[service] = begun

    def begun(self, digests: Collection[str]) -> Marked:
        """Return what was begun under one of these certificates, by service."""
        found = {}
        for service, begun in self._begun.items():
            connections = _NONE.union(*(begun.get(each, _NONE) for each in digests))
            if connections:
                found[service] = connections
        return found

    def spared(self, service: str, digests: Collection[str]) -> frozenset[Connection]:
        """Return what `service` began under certificates other than these, and none of these."""
        begun = self._begun.get(service, {})
        others = _NONE.union(*(one for each, one in begun.items() if each not in digests))
        return others - self.begun(digests).get(service, _NONE)
