"""Is this normal? Learns who calls whom, how often, how much; says what is not, within a budget.

`Model` is the way in: `observe` calls, get scores and findings. Local map: `encode` (calls as
numbers), `tables` and `ground` (who is known), `counts` and `surprise` (shared maths), `detectors`
(one way of looking each), `calibrate`, `combine`, `budget`, `alarms` (from surprise to alarm),
`findings` (in words), `declared` (policy and verdicts as prior knowledge), `archive` (bytes).
"""

from meshwarden.behaviour.declared import Declared, Verdict
from meshwarden.behaviour.model import Model, Scored
from meshwarden.behaviour.settings import Settings

__all__ = ["Declared", "Model", "Scored", "Settings", "Verdict"]
