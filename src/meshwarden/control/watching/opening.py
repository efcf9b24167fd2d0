"""Puts a watch together: the model as it was left, or a new one."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from meshwarden.adapters.storage.model_state import FileModelState
from meshwarden.control.watching.declared import DeclaredPolicy
from meshwarden.control.watching.findings import finding_about_itself
from meshwarden.control.watching.scoring_model import ScoringModel
from meshwarden.control.watching.settings import BehaviourSettings
from meshwarden.control.watching.watch import Watch
from meshwarden.kernel import Clock, Finding, InputError
from meshwarden.policy import AccessPolicy

if TYPE_CHECKING:
    from meshwarden.behaviour import Model


def open_watch(
    settings: BehaviourSettings,
    path: Path,
    *,
    policy: AccessPolicy,
    clock: Clock,
    tell: Callable[[Finding], None],
) -> Watch | None:
    """Return a watch whose model is kept in the file `path`; None where nothing is watched.

    What `policy` allows surprises less, what it denies more; `Watch.declare` replaces it. The
    model is loaded when the watch runs: its compiled code takes a second or two.
    """
    if not settings.watch:
        return None
    state, declared = FileModelState(path), DeclaredPolicy(policy)

    def open_model() -> ScoringModel:
        from meshwarden.behaviour.rehearsal import rehearse  # noqa: PLC0415  # compiled code

        rehearse()
        return load_model(
            state,
            false_alarms_per_day=settings.false_alarms_per_day,
            clock=clock,
            tell=tell,
            declared=declared,
        )

    return Watch(
        open_model=open_model,
        tell=tell,
        keep=state.store_state,
        clock=clock,
        holds=settings.paced,
        declared=declared,
    )


def load_model(
    state: FileModelState | None,
    *,
    false_alarms_per_day: float,
    clock: Clock,
    tell: Callable[[Finding], None],
    declared: DeclaredPolicy | None = None,
) -> "Model":
    """Return the model that was kept; a new one where none was, or where it is not usable.

    A kept model takes this budget, too; its warm-up and sizes stay.
    """
    from meshwarden.behaviour import Model, Settings  # noqa: PLC0415  # compiled code, seconds

    try:
        kept = state.load_state() if state else None
        if kept is not None:
            return Model.load(kept, declared, false_alarms_per_day=false_alarms_per_day)
    except InputError as error:
        if state is not None:
            state.set_aside()
        sentence = f"What was learned is not usable, learning begins anew: {error}"
        tell(finding_about_itself(clock, "behaviour.forgotten", sentence))
    return Model(Settings(false_alarms_per_day=false_alarms_per_day), declared)
