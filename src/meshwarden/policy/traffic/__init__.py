"""What recorded calls say of a policy: learn one, tighten one, judge a candidate by them.

- `observed`: many calls as few combinations of caller, callee, method and route.
- `judge`: what a policy says of one combination: allowed, refused, or undecided, and why.
- `replay`: what a candidate would have done. `unused`: what no call used.
- `templates`, `gather`, `learn`, `learned`: the least policy that allows what was observed.

A recorded route has identifiers replaced by `{}`, so it stands for a set of paths; see `judge`.
"""

from meshwarden.policy.traffic.judge import Judge, Judgement, Verdict
from meshwarden.policy.traffic.observed import Observed, Traffic
from meshwarden.policy.traffic.replay import Replay, ReplayRow, replay

__all__ = [
    "Judge",
    "Judgement",
    "Observed",
    "Replay",
    "ReplayRow",
    "Traffic",
    "Verdict",
    "replay",
]
