"""Attacks by name on the sample bank, by a process inside a compromised service.

`model` is the contract; one module per attack has its plan; `intruder` carries a plan out (it runs
as the compromised service's user, in its network), `looter` reads another's memory for him, `raid`
starts them and asks the targets what became of it; `forgotten` has the policy that he finds;
`simulate` writes the calls that an attack leaves behind, with labels.
"""

from typing import Final

from meshwarden.lab.attacks import beacon, exfiltration, flood, lateral, scan, token_replay
from meshwarden.lab.attacks.model import Attack

ATTACKS: Final[dict[str, Attack]] = {
    attack.name: attack
    for attack in (
        scan.ATTACK,
        lateral.ATTACK,
        exfiltration.ATTACK,
        exfiltration.SLOW_ATTACK,
        beacon.ATTACK,
        flood.ATTACK,
        token_replay.ATTACK,
    )
}

__all__ = ["ATTACKS", "Attack"]
