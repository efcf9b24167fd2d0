"""When to renew an SVID: at half of its life, give or take a tenth of it.

Half of its life is left to repair an authority that cannot issue. The spread keeps workloads that
were started together from all asking again at the same instant; each renewal draws anew.
"""

from datetime import datetime, timedelta
from typing import Final

from meshwarden.identity.model import Svid

HALF: Final = 0.5
SPREAD: Final = 0.1
"""Share of the lifetime to either side of the half. Zero makes all renew at once."""


def renewal_delay_s(lifetime_s: float, *, uniform: float) -> float:
    """Return the seconds from issuance to renewal, within 0.4 to 0.6 of the lifetime.

    Args:
        lifetime_s: seconds from issuance to the end of life.
        uniform: a uniformly distributed number of [0, 1), drawn for this renewal.
    """
    return lifetime_s * (HALF + SPREAD * (2 * uniform - 1))


def renewal_time(svid: Svid, *, uniform: float) -> datetime:
    """Return when to renew `svid`; `uniform` as for `renewal_delay_s`.

    The life counts from issuance, not from the backdated `not_before`: a life of seconds would
    otherwise be over before it began.
    """
    lifetime_s = (svid.not_after - svid.issued_at).total_seconds()
    return svid.issued_at + timedelta(seconds=renewal_delay_s(lifetime_s, uniform=uniform))
