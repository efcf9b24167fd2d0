"""Rotation on disk: whatever ends the process, the next one finds one of the three states."""

import contextlib
import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from tests.unit.identity.forge import DOMAIN, NOW

from meshwarden.adapters.storage import authority_rotation as storage
from meshwarden.adapters.storage.authority import replace_private
from meshwarden.adapters.storage.authority_rotation import (
    load_or_create_trust,
    prepare_authority,
    remove_ended,
    switch_authority,
)
from meshwarden.identity import Trust
from meshwarden.kernel import ConfigError, StateError

UNTIL = NOW + timedelta(hours=1)
FILES = {"root.pem", "root.key", "intermediate.pem"}


class KilledError(Exception):
    """Stands for SIGKILL: nothing after it is done."""


def load(directory: Path, *, hours: float = 0) -> Trust:
    return load_or_create_trust(directory, DOMAIN, now=NOW + timedelta(hours=hours))


def told(trust: Trust) -> tuple[object, ...]:
    """Return what tells one state from another; private keys do not compare."""
    return (
        trust.current.issuer,
        trust.current.bundle,
        trust.prepared and trust.prepared.issuer,
        [(old.authority.issuer, old.until) for old in trust.retired],
    )


def names(directory: Path) -> set[str]:
    return {path.name for path in directory.iterdir()}


@pytest.mark.parametrize("new_root", [False, True])
def test_each_state_is_found_again(tmp_path: Path, new_root: bool) -> None:
    first = load(tmp_path)
    prepared = prepare_authority(tmp_path, first, new_root=new_root, now=NOW)
    assert told(load(tmp_path)) == told(prepared)
    assert prepare_authority(tmp_path, prepared, new_root=new_root, now=NOW) is prepared
    switched = switch_authority(tmp_path, prepared, until=UNTIL)
    assert told(load(tmp_path)) == told(switched)
    assert switched.current is prepared.prepared
    assert (switched.current.bundle != first.current.bundle) is new_root
    over = remove_ended(tmp_path, switched, now=NOW + timedelta(hours=2))
    assert told(load(tmp_path, hours=2)) == told(over) == told(Trust(current=switched.current))
    assert names(tmp_path) == FILES


def test_every_file_is_private(tmp_path: Path) -> None:
    prepared = prepare_authority(tmp_path, load(tmp_path), new_root=True, now=NOW)
    seen = names(tmp_path)
    switch_authority(tmp_path, prepared, until=UNTIL)
    assert {"next.pem", "next-root.pem"} <= seen
    for path in tmp_path.iterdir():
        assert path.stat().st_mode & 0o077 == 0, path


@pytest.mark.parametrize("new_root", [False, True])
@pytest.mark.parametrize("survives", range(12))
def test_a_kill_between_any_two_steps_of_the_switch_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, new_root: bool, survives: int
) -> None:
    prepared = prepare_authority(tmp_path, load(tmp_path), new_root=new_root, now=NOW)
    with monkeypatch.context() as patched:
        _kill_after(patched, survives)
        with contextlib.suppress(KilledError):
            switch_authority(tmp_path, prepared, until=UNTIL)
    found = load(tmp_path)
    states = [told(prepared), told(prepared.switched(until=UNTIL))]
    assert told(found) in states
    done = found if told(found) == states[1] else switch_authority(tmp_path, found, until=UNTIL)
    assert told(load(tmp_path)) == told(done) == states[1]
    rotated_again = prepare_authority(tmp_path, done, new_root=False, now=NOW)
    assert rotated_again.prepared is not None
    assert rotated_again.prepared.bundle == done.current.bundle


def _kill_after(patched: pytest.MonkeyPatch, steps: int) -> None:
    """Let `steps` changes of files happen, and end at the next."""
    left = [steps]

    def _counted(change: Callable[..., object]) -> Callable[..., object]:
        def _change(*arguments: object, **named: object) -> object:
            left[0] -= 1
            if left[0] < 0:
                raise KilledError
            return change(*arguments, **named)

        return _change

    patched.setattr(storage, "replace_private", _counted(replace_private))
    patched.setattr(Path, "rename", _counted(Path.rename))
    patched.setattr(Path, "unlink", _counted(Path.unlink))


def test_without_the_roots_key_only_a_new_root_can_follow(tmp_path: Path) -> None:
    trust = load(tmp_path)
    (tmp_path / "root.key").unlink()
    with pytest.raises(ConfigError) as refusal:
        prepare_authority(tmp_path, trust, new_root=False, now=NOW)
    assert refusal.value.code == "authority.root_key_elsewhere"
    prepared = prepare_authority(tmp_path, trust, new_root=True, now=NOW)
    assert told(load(tmp_path)) == told(prepared)


def test_a_new_root_whose_authority_was_never_finished_is_forgotten(tmp_path: Path) -> None:
    prepare_authority(tmp_path, load(tmp_path), new_root=True, now=NOW)
    (tmp_path / "next.pem").unlink()
    assert load(tmp_path).prepared is None
    assert names(tmp_path) == FILES


@pytest.mark.parametrize("name", ["next.pem", "retired"])
def test_a_damaged_file_is_named_and_not_passed_over(tmp_path: Path, name: str) -> None:
    trust = prepare_authority(tmp_path, load(tmp_path), new_root=False, now=NOW)
    if name == "retired":
        switch_authority(tmp_path, trust, until=UNTIL)
        [path] = tmp_path.glob("retired-*")
    else:
        path = tmp_path / name
    path.write_bytes(path.read_bytes()[:90])
    with pytest.raises(StateError) as refusal:
        load(tmp_path)
    assert refusal.value.code == "authority.damaged"
    assert path.name in refusal.value.message


def test_a_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    prepare_authority(tmp_path, load(tmp_path), new_root=False, now=NOW)
    (tmp_path / "next.pem").chmod(0o644)
    with pytest.raises(StateError) as refusal:
        load(tmp_path)
    assert refusal.value.code == "authority.readable"


def test_an_authority_of_before_rotations_is_taken_as_it_is(tmp_path: Path) -> None:
    load(tmp_path / "a")
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    assert told(load(tmp_path / "a")) == told(load(tmp_path / "b"))
