"""Agreement of a real run with the model, on a machine that may not keep pace with the load."""

from meshwarden.lab.agreement import Agreement

TIMES = "gaps between arrivals"
ON_TIME_S = 0.2  # later than that, the gaps are those that the machine made


def agrees(agreement: Agreement, *, late_s: float) -> bool:
    """Return whether all checks pass; that of times only counts where the load was on time.

    `late_s`: the most that an action started after its time.
    """
    names = [check.name for check in agreement.checks]
    assert TIMES in names
    failed = {check.name for check in agreement.checks if not check.passed}
    return not agreement.missing and failed <= (set() if late_s < ON_TIME_S else {TIMES})
