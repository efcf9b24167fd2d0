"""The mesh file's `behaviour` section."""

from dataclasses import dataclass
from typing import Final

from meshwarden.kernel import Node

_MOST: Final = 1000.0


@dataclass(frozen=True, slots=True, kw_only=True)
class BehaviourSettings:
    """How calls are watched.

    Attributes:
        watch: whether they are.
        false_alarms_per_day: how many false alarms a day are worth it.
        paced: the watch begins when the API is told the bank's own time (laboratory only).
    """

    watch: bool = True
    false_alarms_per_day: float = 1.0
    paced: bool = False


def parse_behaviour(node: Node | None) -> BehaviourSettings:
    """Return the settings of `node`; InputError where it breaks the format."""
    if node is None:
        return BehaviourSettings()
    fields = node.fields(optional=["watch", "false_alarms_per_day", "paced"])
    watch, budget, paced = (fields.get(n) for n in ("watch", "false_alarms_per_day", "paced"))
    return BehaviourSettings(
        watch=True if watch is None else watch.boolean(),
        false_alarms_per_day=1.0 if budget is None else budget.number(0.001, _MOST),
        paced=False if paced is None else paced.boolean(),
    )
