"""`Settings`: everything about the model that someone may want to choose."""

from dataclasses import dataclass

from meshwarden.kernel import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How the model behaves; one set serves every kind of traffic.

    Attributes:
        false_alarms_per_day: budget. Expected number of alarms a day where nothing is wrong; more
            finds more and wastes more of the analyst's time.
        warm_up_minutes, warm_up_calls: until both are over, nothing is reported and nothing that is
            new counts as news: the model has to see something first. Longer is safer and blinder.
        slack: factor on the budget, once a day was seen: most groups that are rare enough belong to
            an alarm that was raised already or fail for want of tokens. Measured, not proved;
            larger finds more and comes nearer to the token bucket's bound.
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
        if not 0 < self.false_alarms_per_day <= 1e6:
            raise ConfigError(
                "behaviour.budget", "false alarms per day must be above 0, at most 1e6"
            )
        if not (0 < self.slack <= 1e3 and 0 <= self.repeat_cost <= 1e6):
            raise ConfigError("behaviour.spending", "slack is above 0, repeat_cost at least 0")
        if not all(4 <= bits <= 26 for bits in (self.node_bits, self.edge_bits, self.link_bits)):
            raise ConfigError("behaviour.size", "table sizes are 2**4 to 2**26")
