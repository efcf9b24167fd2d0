"""Every way in and out of a suspect, tried, and what arrives at the other ends, counted.

A peer that does not run now (it is being replaced itself) is nowhere to stand: it is left out, and
the figures say how many were there.
"""

import contextlib
import time
from collections.abc import Iterable
from typing import Final

from meshwarden.control.layout import Layout
from meshwarden.control.response.probing.arriving import arrived_from, octets_between
from meshwarden.control.response.probing.neighbourhood import Neighbourhood
from meshwarden.control.response.probing.places import network_of, open_socket
from meshwarden.control.response.probing.witness import SENT, Witness, octets_arrived, send_over
from meshwarden.kernel import DependencyError, VerificationError

BETWEEN_S: Final = 0.02
"""How long nothing may arrive. It is enough for anything that is on its way within one machine."""


def verify_cut(layout: Layout, around: Neighbourhood, witness: Witness | None) -> str:
    """Return what shows that nothing passes, in words; blocks for some tens of milliseconds.

    Raises:
        VerificationError: `quarantine.leaks`, naming what passed.
        DependencyError: where that cannot be found out.
    """
    before = arrived_from(layout, around)
    if witness is not None:
        send_over(witness)
    opened = [*_ways_out(layout, around), *_ways_in(layout, around)]
    if open_ways := [way for way, passes in opened if passes]:
        raise VerificationError("quarantine.leaks", f"still open: {', '.join(open_ways)}")
    time.sleep(BETWEEN_S)  # noqa: TID251  # what is counted is that nothing comes meanwhile
    after = arrived_from(layout, around)
    said = [f"{len(opened)} ways in and out refused"]
    if witness is not None:
        said += _over_open_ones(layout, witness)
    arrived = octets_between(before, after)
    receivers = {receiver for receiver, _ in after} | set(around.callees)
    said.append(f"{arrived} octets arrived at {len(receivers)} receivers meanwhile")
    if arrived:
        raise VerificationError("quarantine.leaks", said[-1])
    return "; ".join(said)


def verify_reached(layout: Layout, around: Neighbourhood) -> str:
    """Return what shows that peers reach the suspect's place again; VerificationError if not."""
    ways = _ways_in(layout, around)
    if closed := [way for way, passes in ways if not passes]:
        raise VerificationError("recovery.unreached", f"still closed: {', '.join(closed)}")
    return f"{len(ways)} ways in are open again"


def _over_open_ones(layout: Layout, witness: Witness) -> list[str]:
    passed = octets_arrived(layout, witness)
    said = f"{passed} of {2 * len(SENT)} octets over connections that were open"
    if passed:
        raise VerificationError("quarantine.leaks", said)
    return [said, f"{len(witness.own)} of its own were open"]


def _ways_out(layout: Layout, around: Neighbourhood) -> Iterable[tuple[str, bool]]:
    suspect = around.suspect
    proxy = layout.proxy(suspect)
    with network_of(layout, suspect) as place:
        yield (
            f"{suspect} to its own sidecar",
            _connects(layout, place, suspect, (proxy.host, proxy.port), sidecar=False),
        )
        for callee, port in around.callees.items() if layout.isolated else ():
            address = (layout.host(callee), port)
            yield f"{suspect} to {callee}", _connects(layout, place, suspect, address, sidecar=True)


def _ways_in(layout: Layout, around: Neighbourhood) -> list[tuple[str, bool]]:
    found: list[tuple[str, bool]] = []
    if around.port is None:
        return found
    address = (layout.host(around.suspect), around.port)
    for caller in around.callers:
        with contextlib.suppress(DependencyError), network_of(layout, caller) as place:
            passes = _connects(layout, place, caller, address, sidecar=True)
            found.append((f"{caller} to {around.suspect}", passes))
    return found


def _connects(
    layout: Layout, place: int | None, service: str, address: tuple[str, int], *, sidecar: bool
) -> bool:
    with open_socket(layout, place, service, sidecar=sidecar) as end:
        try:
            end.connect(address)
        except OSError:
            return False
        return True
