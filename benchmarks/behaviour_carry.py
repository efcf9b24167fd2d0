"""Does it carry over: each set judged with settings that were chosen while it was left out.

`python -m benchmarks.behaviour_carry`. A small fixed grid over the two settings that decide what is
raised; nothing else is chosen. Settings are chosen by the mean recall of classes other than floods
over the sets at hand, less what their false alerts a day exceed the budget by, in budgets. The two
halves of darpa98-june, each begun anew, choose for each other.
"""

import itertools
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from benchmarks.behaviour import SETS
from benchmarks.behaviour_data import Labelled, data_folder, judge, load_labelled
from meshwarden.behaviour import Model, Settings

GRID: Final = tuple(itertools.product((1.8, 3.0, 5.0), (3.0, 10.0, 30.0)))  # slack, repeat cost
DEFAULT: Final = (Settings().slack, Settings().repeat_cost)
HEADER: Final = (
    "| set | slack, cost chosen without it | recall at false alerts a day | defaults"
    " | chosen on it | difference |"
)
Choice = tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of one set under one choice.

    Attributes:
        recall: mean over the classes of incidents other than floods; None where there are none.
        false: false alerts a day.
        budget: how many were allowed.
    """

    recall: float | None
    false: float
    budget: float

    @property
    def worth(self) -> float:
        """Recall less the excess of false alerts, in budgets."""
        return (self.recall or 0.0) - max(self.false / self.budget - 1.0, 0.0)


Outcomes = Mapping[Choice, Outcome]


def measure(calls: Labelled, budget: float) -> Outcomes:
    """Return the outcome of each choice, the model begun anew each time."""
    return {choice: _outcome(calls, budget, choice) for choice in GRID}


def _outcome(calls: Labelled, budget: float, choice: Choice) -> Outcome:
    slack, cost = choice
    settings = Settings(false_alarms_per_day=budget, slack=slack, repeat_cost=cost)
    scored = Model(settings).observe(calls.table)
    judged: dict[str, Any] = judge(calls, scored.score, scored.alert)
    return Outcome(
        recall=judged.get("mean_without_flood"), false=judged["false_per_day"], budget=budget
    )


def chosen(others: Mapping[str, Outcomes]) -> Choice:
    """Return the choice that is worth most on `others`; of equals the one nearest the middle."""
    middle = GRID[len(GRID) // 2]
    return max(
        GRID,
        key=lambda choice: (
            round(float(np.mean([each[choice].worth for each in others.values()])), 6),
            -sum(abs(np.log(a / b)) for a, b in zip(choice, middle, strict=True)),
        ),
    )


def lines(outcomes: Mapping[str, Outcomes]) -> list[str]:
    """Return a row for each set: as chosen by the others, by the defaults, by itself."""
    rows = []
    for name, own in outcomes.items():
        choice = chosen({other: each for other, each in outcomes.items() if other != name})
        best = chosen({name: own})
        told = " | ".join(_told(own[each]) for each in (choice, DEFAULT, best))
        chose = f"{choice[0]:g}, {choice[1]:g}"
        rows.append(f"| {name} | {chose} | {told} | {_difference(own, choice)} |")
    return rows


def _told(outcome: Outcome) -> str:
    recall = "-" if outcome.recall is None else f"{outcome.recall:.3f}"
    return f"{recall} at {outcome.false:.2f}"


def _difference(own: Outcomes, choice: Choice) -> str:
    here, best = own[choice].recall, own[chosen({"": own})].recall
    return "-" if here is None or best is None else f"{here - best:+.3f}"


def main() -> None:
    """Measure, and print two tables."""
    folder = data_folder()
    if folder is None:
        sys.exit("no data: set MESHWARDEN_DATA")
    outcomes, halves = dict[str, Outcomes](), dict[str, Outcomes]()
    for name, budget in SETS:
        calls = load_labelled(folder / name)
        outcomes[name] = measure(calls, budget)
        if name == "darpa98-june":
            middle = len(calls.label) // 2
            halves["June, first half"] = measure(calls.part(slice(0, middle)), budget)
            halves["June, second half"] = measure(calls.part(slice(middle, None)), budget)
        print(f"{name} done", file=sys.stderr)
    print(HEADER)
    print("|---|---|---|---|---|---|")
    print("\n".join([*lines(outcomes), *lines(halves)]))


if __name__ == "__main__":
    main()
