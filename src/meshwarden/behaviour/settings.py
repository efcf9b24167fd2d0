"""`Settings`: everything about the model that someone may want to choose."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import UnionType
from typing import Final

from meshwarden.kernel import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How the model behaves; one set serves every kind of traffic.

    ConfigError `behaviour.settings` where one is of another type than stated, or out of its range.

    Attributes:
        false_alarms_per_day: budget. Expected number of alarms a day where nothing is wrong; more
            finds more and wastes more of the analyst's time.
        warm_up_minutes, warm_up_calls: until both are over, nothing is reported and nothing that is
            new counts as news: the model has to see something first. Longer is safer and blinder.
        slack: factor on the budget, once four weeks were seen, at first less than half of it: most
            groups that are rare enough belong to an alarm that was raised already or fail for want
            of tokens. Measured, not proved; larger finds more and comes nearer to the token
            bucket's bound.
        repeat_cost: by how much rarer than the first the next alarm about the same edge has to be,
            plus 1, within a day; less so about the same source or destination. 0 repeats itself.
        node_bits, edge_bits, link_bits: 2**bits identities, pairs, and services used by pairs are
            remembered; what was seen in the fewest hours makes room. The defaults hold 10,000
            services with 1,000,000 edges in less than 1 GB.
    """

    false_alarms_per_day: float = 1.0
    warm_up_minutes: float = 15.0
    warm_up_calls: int = 10
    slack: float = 3.0
    repeat_cost: float = 10.0
    node_bits: int = 16
    edge_bits: int = 20
    link_bits: int = 20

    def __post_init__(self) -> None:
        for name, (kind, least, most) in _BOUNDS.items():
            given = getattr(self, name)
            fits = isinstance(given, kind) and not isinstance(given, bool)
            if not (fits and least <= given <= most):
                raise ConfigError(
                    "behaviour.settings",
                    f"{name} is {_WORDS[kind]} from {least:g} to {most:g}, not {given!r:.40}",
                )


_Kind = type[int] | UnionType
_NUMBER: Final = int | float
_WORDS: Final[Mapping[_Kind, str]] = {int: "a whole number", _NUMBER: "a number"}
_BOUNDS: Final[Mapping[str, tuple[_Kind, float, float]]] = {
    "false_alarms_per_day": (_NUMBER, 1e-6, 1e6),
    "warm_up_minutes": (_NUMBER, 0, 366 * 1440),
    "warm_up_calls": (int, 0, 1e9),
    "slack": (_NUMBER, 1e-6, 1e3),
    "repeat_cost": (_NUMBER, 0, 1e6),
    "node_bits": (int, 4, 26),
    "edge_bits": (int, 4, 26),
    "link_bits": (int, 6, 26),
}
