import pytest

from meshwarden.lab.bank.totp import STEP_S, accepted_step, code_at

RFC_KEY = b"12345678901234567890"  # RFC 6238, appendix B


@pytest.mark.parametrize(
    ("time_s", "code"),
    [(59, "287082"), (1111111109, "081804"), (1234567890, "005924"), (20000000000, "353130")],
)
def test_codes_are_those_of_the_standard(time_s: int, code: str) -> None:
    assert code_at(RFC_KEY, time_s // STEP_S) == code


def test_code_is_accepted_one_step_early_and_late_and_not_beyond() -> None:
    code = code_at(RFC_KEY, 100)
    found = [accepted_step(RFC_KEY, code, at_s=step * STEP_S, after=0) for step in range(98, 103)]
    assert found == [None, 100, 100, 100, None]


def test_spent_code_is_refused() -> None:
    code = code_at(RFC_KEY, 100)
    assert accepted_step(RFC_KEY, code, at_s=100 * STEP_S, after=100) is None


@pytest.mark.parametrize("typed", ["", "12345", "abcdef", "é" * 6])
def test_what_is_no_code_is_refused(typed: str) -> None:
    assert accepted_step(RFC_KEY, typed, at_s=3000.0, after=0) is None
