"""Agreement of a real run with the model, on a machine that may not keep pace with the load."""

from meshwarden.lab.agreement import Agreement

TIMES = "gaps between arrivals"


def agrees(agreement: Agreement, *, on_time: bool) -> bool:
    """Return whether all checks pass; that of times only counts where the load was on time."""
    names = [check.name for check in agreement.checks]
    assert TIMES in names
    failed = {check.name for check in agreement.checks if not check.passed}
    return not agreement.missing and failed <= (set() if on_time else {TIMES})
