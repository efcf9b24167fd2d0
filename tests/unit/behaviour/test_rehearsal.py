"""After a rehearsal, nothing is left to compile when real calls come."""

import json
import subprocess
import sys

# A process of its own: others in this one have called the loops with arrays of other kinds.
SCRIPT = """\
import json, sys
import pyarrow.compute as pc
from numba.core.dispatcher import Dispatcher
from meshwarden.adapters.yaml import load_document
from meshwarden.behaviour import Model
from meshwarden.behaviour.rehearsal import rehearse
from meshwarden.control.watching.declared import DeclaredPolicy
from meshwarden.lab.attacks.simulate import World, simulated_attack
from meshwarden.lab.mesh import ACCESS_POLICY
from meshwarden.policy import parse_policy

def known():
    modules = [m for n, m in sys.modules.items() if n.startswith("meshwarden.behaviour")]
    loops = {f"{v.__module__}.{v.__name__}": v
             for m in modules for v in vars(m).values() if isinstance(v, Dispatcher)}
    return {name: len(loop.signatures) for name, loop in loops.items()}

rehearse()
before = known()
model = Model(declared=DeclaredPolicy(parse_policy(load_document(ACCESS_POLICY))))
for name in ("scan", "token-replay", "flood"):
    calls, _ = simulated_attack(name, 5, World(customers=100, history_days=2))
    order = pc.sort_indices(calls["time"])
    model.observe(calls.unify_dictionaries().take(order).combine_chunks())
    model.observe(calls)
after = known()
print(json.dumps({"loops": len(after), "late": [n for n in after if after[n] != before.get(n)],
                  "idle": [n for n, times in before.items() if not times]}))
"""


def test_no_loop_is_compiled_for_real_calls() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True, timeout=110
    )
    found = json.loads(done.stdout)
    assert found["loops"] > 30
    assert found["late"] == []
