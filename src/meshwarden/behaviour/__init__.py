"""Is this normal? Learns who calls whom, how often, how much; says what is not, within a budget.

`Model` is the way in: `observe` calls, get scores and findings. Local map: `encode` (calls as
numbers), `tables` and `ground` (who is known), `samples` and `peers` (who does the same), `counts`,
`season`, `outcomes`, `sizes`, `chains` and `surprise` (shared maths),
`detectors` (one way of looking each), `calibrate`, `combine`, `budget`, `alarms` (from surprise to
alarm), `findings` (in words), `declared` (policy as prior knowledge), `verdict` (what is benign),
`archive` (bytes). `routes` and `identifiers` name paths, for whoever reads logs.

The names below are loaded when they are first used: the model's loops need numba, which takes half
a second to load, and whoever only names routes does without.
"""

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from meshwarden.behaviour.declared import Declared
    from meshwarden.behaviour.model import Model, Scored
    from meshwarden.behaviour.settings import Settings
    from meshwarden.behaviour.verdict import Verdict

__all__ = ["Declared", "Model", "Scored", "Settings", "Verdict"]

_MODULES: Final = {
    "Declared": "declared",
    "Model": "model",
    "Scored": "model",
    "Settings": "settings",
    "Verdict": "verdict",
}


def __getattr__(name: str) -> Any:  # of a module, it is called for any name
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415

    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
