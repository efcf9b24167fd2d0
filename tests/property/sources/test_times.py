"""A time in the form that Envoy writes most is read as any other form of it is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshwarden.adapters.sources.fields import time_of
from meshwarden.kernel import InputError

parts = st.tuples(
    st.datetimes().map(lambda moment: moment.isoformat(timespec="seconds")),
    st.integers(0, 999),
)


@given(parts)
def test_milliseconds_in_utc_are_read_as_with_more_digits(part: tuple[str, int]) -> None:
    whole, milliseconds = part
    short, long = f"{whole}.{milliseconds:03}Z", f"{whole}.{milliseconds:03}000000+00:00"
    try:
        expected = time_of(long)
    except InputError:
        with pytest.raises(InputError):
            time_of(short)
    else:
        assert time_of(short) == expected


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-24T00:00:00.12xZ", "2026-13-45T00:00:00.123Z", "2026-W48-2T00:00:00.123Z",
        "2026-11-24T00:00:00.1-3Z", "2026-11-24T00:00:00.¹²³Z", "xxxx-11-24T00:00:00.123Z",
        "1969-12-31T23:59:59.999Z", "9999-12-31T23:59:59.999Z",
    ],
)  # fmt: skip
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(InputError):
        time_of(text)
