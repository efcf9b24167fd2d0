from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from meshwarden.identity import rotate_keys, signing_key
from meshwarden.identity.jwt_authority import AFTER, AHEAD, PERIOD, JwtKey

NOW = datetime(2026, 11, 3, 12, tzinfo=UTC)


def test_the_first_key_signs_at_once() -> None:
    keys = rotate_keys((), now=NOW)
    assert len(keys) == 1
    assert signing_key(keys, now=NOW) == keys[0]


def test_the_next_key_is_published_before_it_signs_and_the_old_one_stays_after() -> None:
    first = rotate_keys((), now=NOW)
    due = NOW + PERIOD - AHEAD
    assert rotate_keys(first, now=due - timedelta(seconds=1)) == first
    both = rotate_keys(first, now=due)
    assert len(both) == 2
    assert signing_key(both, now=due) == first[0]
    assert signing_key(both, now=due + AHEAD) == both[1]
    assert rotate_keys(both, now=due + AHEAD + AFTER) == both
    assert rotate_keys(both, now=first[0].published_until)[0] == both[1]


def test_a_forced_rotation_prepares_one_key_and_no_more() -> None:
    first = rotate_keys((), now=NOW)
    both = rotate_keys(first, now=NOW, force=True)
    assert len(both) == 2
    assert rotate_keys(both, now=NOW, force=True) == both


@given(st.lists(st.integers(-200_000, 200_000), max_size=30))
def test_whatever_the_clock_does_some_published_key_signs_and_there_are_few(
    steps: list[int],
) -> None:
    now = NOW
    keys: tuple[JwtKey, ...] = ()
    known: dict[str, JwtKey] = {}
    for step in steps:
        now += timedelta(seconds=step)
        keys = rotate_keys(keys, now=now)
        known |= {one.kid: one for one in keys}
        assert signing_key(keys, now=now) in keys
        assert signing_key(keys, now=now).signs_from <= now
    assert len(known) <= 2 * len(steps) + 1
