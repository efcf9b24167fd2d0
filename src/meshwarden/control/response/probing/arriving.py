"""What arrives of a suspect at the other ends, connection by connection: the kernels' word.

These are the suspect's own connections, whoever opened them and when: it cannot change the figures
of the other end. A peer that does not run now (it is being replaced itself) is nowhere to stand: it
is left out.
"""

import contextlib
from collections.abc import Mapping
from typing import Final

from meshwarden.adapters.envoy.admin import octets_carried
from meshwarden.adapters.network.counting import received_from
from meshwarden.adapters.network.established import Connection
from meshwarden.control.layout import BORDER, Layout
from meshwarden.control.response.probing.neighbourhood import Neighbourhood
from meshwarden.control.response.probing.places import network_of
from meshwarden.kernel import DependencyError

Arrived = Mapping[tuple[str, Connection | None], int]
"""Octets received so far by receiver and connection; the border counts all of them as one."""

NOTHING: Final[Arrived] = {}


def arrived_from(layout: Layout, around: Neighbourhood) -> Arrived:
    """Return what has arrived so far at each that the suspect may call, and at the border."""
    if not layout.isolated:
        return NOTHING
    carried = octets_carried(layout.admin_socket(BORDER), f"out/{around.suspect}/")
    found: dict[tuple[str, Connection | None], int] = {(BORDER, None): carried}
    host = layout.host(around.suspect)
    for callee in around.callees:
        with contextlib.suppress(DependencyError), network_of(layout, callee) as place:
            if place is not None:
                received = received_from(place, host)
                found |= {(callee, one): octets for one, octets in received.items()}
    return found


def octets_between(before: Arrived, after: Arrived) -> int:
    """Return how many octets arrived from `before` to `after`; what ended meanwhile takes nothing.

    >>> octets_between({("ledger", None): 5, ("idp", None): 9}, {("ledger", None): 7})
    2
    """
    return sum(max(0, octets - before.get(one, 0)) for one, octets in after.items())
