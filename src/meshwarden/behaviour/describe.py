"""What was learned, as plain data for people and machines."""

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from meshwarden.behaviour.tables import find, pair

if TYPE_CHECKING:
    from meshwarden.behaviour.model import Model

_MOST: Final = 2000


def describe(model: "Model") -> dict[str, Any]:
    """Return counts, warm-up, calibration and the known edges, those seen in most hours first.

    Returns:
        calls, first, last (ns), days, warming_up, identities, services, links, edges (at most
        2,000: source, destination, hours, last_hour), edges_known, channels, verdicts, suppressed.
    """
    first, last = model.times
    minutes = (last - first) / 6e10
    settings = model.settings
    return {
        "calls": model.calls,
        "first": first,
        "last": last,
        "days": round(minutes / 1440.0, 3),
        "warming_up": model.calls <= settings.warm_up_calls or minutes < settings.warm_up_minutes,
        "warm_up": {"minutes": settings.warm_up_minutes, "calls": settings.warm_up_calls},
        "false_alarms_per_day": settings.false_alarms_per_day,
        "identities": len(model.ground.nodes),
        "services": len(model.ground.offers),
        "links": len(model.ground.links),
        "edges_known": len(model.ground.edges),
        "edges": _edges(model),
        "channels": list(model.channels),
        "verdicts": [
            {"source": v.source, "destination": v.destination, "channel": v.channel}
            | {"until": v.until, "reason": v.reason, "by": v.by}
            for v in model.verdicts
        ],
        "suppressed": model.suppressed,
    }


def _edges(model: "Model") -> list[dict[str, Any]]:
    ground, groups = model.ground, model.alarms.state["groups0"]
    known = ground.edges.entries[: len(ground.edges)]
    nodes = ground.nodes.entries
    edges = []
    for number in np.argsort(-known["hours"], kind="stable")[:_MOST].tolist():
        source, destination = nodes["key"][
            [groups[number]["source"], groups[number]["destination"]]
        ]
        key = np.uint64(pair(source, destination))
        if find(ground.edges.entries, ground.edges.index, key) != number:
            continue  # one of its parties was forgotten
        edges.append(
            {
                "source": model.names.of(int(source)),
                "destination": model.names.of(int(destination)),
                "hours": int(known["hours"][number]),
                "last_hour": int(known["hour"][number]),
            }
        )
    return edges
