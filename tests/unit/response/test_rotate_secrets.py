"""Secrets are replaced by commands: bounded, without a shell, and what they print is not kept."""

from pathlib import Path
from typing import Any, cast

import pytest

from meshwarden.control.response.actions import rotate_secrets
from meshwarden.control.response.actions.rotate_secrets import Command, RotateSecrets
from meshwarden.control.response.actions.scene import Scene
from meshwarden.kernel import DependencyError, StateError
from meshwarden.response import Incident


class _Suspect:
    service = "payments"


class _Incident:
    id = "i"
    suspect = _Suspect()


INCIDENT = cast("Incident", _Incident())


def action(*commands: Command) -> RotateSecrets:
    return RotateSecrets(scene=cast("Scene", None), commands={"payments": commands})


async def test_every_command_runs_in_its_order(tmp_path: Path) -> None:
    made, kept = tmp_path / "made", tmp_path / "$(kept)"
    applied = await action(
        ("/usr/bin/touch", str(made)), ("/usr/bin/mv", str(made), str(kept))
    ).apply(INCIDENT)
    assert kept.exists()
    assert applied.outcome == "2 commands have replaced secrets"


async def test_a_service_without_secrets_has_nothing_replaced() -> None:
    assert "names no secret" in (await action().apply(INCIDENT)).outcome
    assert await action().probe(INCIDENT) == "there was nothing to replace"


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (("/usr/bin/false",), "rotate.failed"),
        (("/nowhere/rotate",), "rotate.start"),
        (("/usr/bin/sleep", "60"), "rotate.hangs"),
    ],
)
async def test_what_fails_or_hangs_is_said_without_what_it_printed(
    command: Command, code: str, monkeypatch: Any
) -> None:
    monkeypatch.setattr(rotate_secrets, "WITHIN_S", 0.3)
    with pytest.raises(DependencyError) as refused:
        await action(command).apply(INCIDENT)
    assert refused.value.code == code


async def test_an_old_secret_does_not_come_back() -> None:
    with pytest.raises(StateError):
        await action().undo(INCIDENT, {})
