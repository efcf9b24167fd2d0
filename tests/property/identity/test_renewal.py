"""Renewal at half-life with a spread, and issuance for whatever identity and lifetime."""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st
from tests.unit.identity.forge import DOMAIN, NOW, make_authority, serial

from meshwarden.identity import issue_svid, parse_certificates, renewal_time, verify_svid
from meshwarden.identity.renewal import renewal_delay_s
from meshwarden.kernel import SpiffeId

AUTHORITY = make_authority()
SEGMENT = st.text("abcXYZ019._-", min_size=1, max_size=20).filter(lambda s: s not in {".", ".."})
UNIFORM = st.floats(0, 1, exclude_max=True)


@given(lifetime_s=st.floats(1, 1e6), uniform=UNIFORM)
def test_renewal_is_at_half_of_the_life_give_or_take_a_tenth(
    lifetime_s: float, uniform: float
) -> None:
    share = renewal_delay_s(lifetime_s, uniform=uniform) / lifetime_s
    assert 0.4 - 1e-9 <= share <= 0.6 + 1e-9


@given(first=UNIFORM, second=UNIFORM)
def test_workloads_that_drew_apart_renew_apart(first: float, second: float) -> None:
    gap = abs(renewal_delay_s(3600, uniform=first) - renewal_delay_s(3600, uniform=second))
    assert abs(gap - abs(first - second) * 720) < 1e-6


@given(
    segments=st.lists(SEGMENT, min_size=1, max_size=6),
    lifetime_s=st.integers(1, 86_400),
    uniform=UNIFORM,
)
def test_what_is_issued_verifies_until_after_its_renewal(
    segments: list[str], lifetime_s: int, uniform: float
) -> None:
    identity = SpiffeId(DOMAIN, "/" + "/".join(segments))
    svid = issue_svid(AUTHORITY, identity, now=NOW, serial=serial(), lifetime_s=lifetime_s)
    chain = parse_certificates(svid.certificate_chain.encode(), where="svid")
    moment = renewal_time(svid, uniform=uniform)
    assert NOW < moment < NOW + timedelta(seconds=lifetime_s)
    assert verify_svid(chain, AUTHORITY.bundle, now=moment) == identity
