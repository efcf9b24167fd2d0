"""Brought authorities that replace one another: each state is found again, whatever the files."""

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from tests.unit.identity.forge import DOMAIN, NOW, serial

from meshwarden.adapters.storage.authority_brought import (
    load_brought_trust,
    prepare_brought,
    switch_brought,
)
from meshwarden.adapters.storage.authority_rotation import NEXT, remove_ended
from meshwarden.identity import (
    Authority,
    Trust,
    create_authority,
    create_root,
    issuer_name,
    render_private_key,
)
from meshwarden.identity.model import render_certificates
from meshwarden.kernel import ConfigError, StateError

UNTIL = NOW + timedelta(hours=1)


def make() -> Authority:
    root = create_root(DOMAIN, now=NOW, serial=serial())
    return create_authority(root, now=NOW, serial=serial())


@dataclass(frozen=True, slots=True)
class Mesh:
    """The files that mesh.yaml names, and the state directory's."""

    folder: Path

    def name(self, authority: Authority) -> None:
        """Put this authority where mesh.yaml points."""
        chain = (*authority.intermediates, *authority.bundle.certificates)
        (self.folder / "ca.pem").write_text(render_certificates(chain))
        (self.folder / "ca.key").touch(mode=0o600)
        (self.folder / "ca.key").write_text(render_private_key(authority.key).reveal())

    def load(self, *, hours: float = 0) -> Trust:
        return load_brought_trust(
            self.folder / "ca",
            DOMAIN,
            certificates=self.folder / "ca.pem",
            key=self.folder / "ca.key",
            now=NOW + timedelta(hours=hours),
        )

    def replace(self, successor: Authority) -> Trust:
        prepared = prepare_brought(self.folder / "ca", self.load(), successor)
        return switch_brought(self.folder / "ca", prepared, until=UNTIL)


@pytest.fixture
def mesh(tmp_path: Path) -> Mesh:
    return Mesh(tmp_path)


def names(trust: Trust) -> tuple[str, str | None, list[str]]:
    return (
        issuer_name(trust.current),
        issuer_name(trust.prepared) if trust.prepared else None,
        [issuer_name(old.authority) for old in trust.retired],
    )


def test_each_state_is_found_again_while_mesh_yaml_names_the_old_one(mesh: Mesh) -> None:
    old, new = make(), make()
    mesh.name(old)
    assert names(mesh.load()) == (issuer_name(old), None, [])
    prepared = prepare_brought(mesh.folder / "ca", mesh.load(), new)
    assert names(mesh.load()) == names(prepared) == (issuer_name(old), issuer_name(new), [])
    switched = switch_brought(mesh.folder / "ca", prepared, until=UNTIL)
    assert names(mesh.load()) == names(switched) == (issuer_name(new), None, [issuer_name(old)])
    remove_ended(mesh.folder / "ca", switched, now=UNTIL + timedelta(hours=1))
    assert names(mesh.load(hours=2)) == (issuer_name(new), None, [])


def test_putting_the_new_files_in_their_place_changes_nothing(mesh: Mesh) -> None:
    old, new = make(), make()
    mesh.name(old)
    switched = mesh.replace(new)
    mesh.name(new)
    assert names(mesh.load()) == names(switched)


def test_a_kill_before_the_switch_leaves_the_old_one_signing(mesh: Mesh) -> None:
    old, new = make(), make()
    mesh.name(old)
    prepare_brought(mesh.folder / "ca", mesh.load(), new)
    (mesh.folder / "ca/replaced").write_text(f"{issuer_name(old)}\n")  # the rename was next
    assert names(mesh.load()) == (issuer_name(old), issuer_name(new), [])


def test_it_can_be_replaced_again_and_even_by_the_first(mesh: Mesh) -> None:
    one, two, three = make(), make(), make()
    mesh.name(one)
    mesh.replace(two)
    assert names(mesh.replace(three))[0] == issuer_name(three)
    assert names(mesh.load())[0] == issuer_name(three)
    remove_ended(mesh.folder / "ca", mesh.load(), now=UNTIL + timedelta(hours=1))
    assert names(mesh.replace(one))[0] == issuer_name(one) == names(mesh.load())[0]


def test_an_authority_that_counts_already_is_no_successor(mesh: Mesh) -> None:
    one = make()
    mesh.name(one)
    with pytest.raises(ConfigError, match="in use already"):
        prepare_brought(mesh.folder / "ca", mesh.load(), one)
    assert not (mesh.folder / "ca").exists()


def test_a_copied_key_is_readable_by_its_owner_alone(mesh: Mesh) -> None:
    mesh.name(make())
    mesh.replace(make())
    kept = [path for path in (mesh.folder / "ca").iterdir() if path.suffix == ".pem"]
    assert len(kept) == 2
    assert {path.stat().st_mode & 0o777 for path in kept} == {0o600}


def test_a_damaged_file_stops_the_start_and_is_named(mesh: Mesh) -> None:
    mesh.name(make())
    prepare_brought(mesh.folder / "ca", mesh.load(), make())
    (mesh.folder / "ca" / NEXT).write_text("no key")
    with pytest.raises(StateError, match=NEXT):
        mesh.load()
