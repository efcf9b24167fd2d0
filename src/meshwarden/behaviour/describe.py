"""What was learned, as plain data for people and machines."""

from dataclasses import asdict
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
    minutes = (last - model.began) / 6e10
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
        "verdicts": [asdict(v) for v in model.verdicts],
        "suppressed": model.suppressed,
    }


def parties_of(model: "Model", edge: int) -> tuple[str, str] | None:
    """Return the names of an edge's source and destination; None where one was forgotten."""
    ground, group = model.ground, model.alarms.state["groups0"][edge]
    keys = ground.nodes.entries["key"][[group["source"], group["destination"]]]
    if find(ground.edges.entries, ground.edges.index, np.uint64(pair(keys[0], keys[1]))) != edge:
        return None
    return model.names.of(int(keys[0])), model.names.of(int(keys[1]))


def _edges(model: "Model") -> list[dict[str, Any]]:
    known = model.ground.edges.entries[: len(model.ground.edges)]
    edges = []
    for number in np.argsort(-known["hours"], kind="stable")[:_MOST].tolist():
        parties = parties_of(model, number)
        if parties is None:
            continue
        edges.append(
            {
                "source": parties[0],
                "destination": parties[1],
                "hours": int(known["hours"][number]),
                "last_hour": int(known["hour"][number]),
            }
        )
    return edges
