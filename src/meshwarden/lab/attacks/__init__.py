"""Attacks by name on the sample bank, by a process inside a compromised service.

`model` is the contract; one module per attack has its plan; `intruder` carries a plan out (it runs
as the compromised service's user, in its network), `raid` starts it and asks the targets what
became of it; `simulate` writes the calls that an attack leaves behind, with labels.
"""

from typing import Final

from meshwarden.lab.attacks import beacon, exfiltration, flood, lateral, scan
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
    )
}

__all__ = ["ATTACKS", "Attack"]
