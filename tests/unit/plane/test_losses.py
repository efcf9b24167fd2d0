"""Lost log entries are told with their number, not too often, and none twice."""

from datetime import timedelta

from tests.unit.plane.bench import START

from meshwarden.control.plane.losses import Losses


def test_what_is_lost_is_told_once_a_minute_with_the_number_of_all() -> None:
    losses, told = Losses(), []

    def observe(seconds: int, count: int) -> None:
        losses.observe(
            {"ledger": count},
            now=START + timedelta(seconds=seconds),
            tell=lambda service, sentence: told.append((service, sentence.split()[11])),
        )

    observe(0, 0)
    assert told == []
    observe(5, 3)
    assert told == [("ledger", "3")]
    observe(10, 7)
    observe(15, 2)  # started again, and lost two more
    assert len(told) == 1
    observe(70, 2)
    assert told[1:] == [("ledger", "9")]
    observe(200, 2)
    assert len(told) == 2
