"""Authorities in rotation: what is trusted, and who signs, in each of the three states."""

from datetime import datetime, timedelta

from tests.unit.identity.forge import DOMAIN, NOW

from meshwarden.identity import Authority, Root, Trust, create_authority, create_root


def root_of(number: int) -> Root:
    return create_root(DOMAIN, now=NOW, serial=2**100 + number)


def under(root: Root, number: int) -> Authority:
    return create_authority(root, now=NOW, serial=2**110 + number)


def later(hours: float) -> datetime:
    return NOW + timedelta(hours=hours)


def test_a_successor_is_trusted_before_it_signs() -> None:
    old, new = under(root_of(1), 1), under(root_of(2), 2)
    trust = Trust(current=old, prepared=new)
    assert list(trust.authorities) == [old, new]
    assert trust.bundle.certificates == (*old.bundle.certificates, *new.bundle.certificates)


def test_after_the_switch_the_old_one_is_trusted_until_its_last_certificate_ends() -> None:
    old, new = under(root_of(1), 1), under(root_of(2), 2)
    trust = Trust(current=old, prepared=new).switched(until=later(1))
    assert trust.current == new
    assert trust.without_ended(now=later(1)) is trust
    left = trust.without_ended(now=later(1.1))
    assert list(left.authorities) == [new]
    assert left.bundle == new.bundle


def test_a_new_intermediate_under_the_same_root_leaves_the_bundle_as_it_is() -> None:
    root = root_of(1)
    old, new = under(root, 1), under(root, 2)
    trust = Trust(current=old, prepared=new)
    assert trust.bundle == old.bundle
    assert trust.bundle.digest == old.bundle.digest
    assert list(trust.switched(until=NOW).authorities) == [new, old]


def test_without_a_successor_there_is_nothing_to_switch_to() -> None:
    trust = Trust(current=under(root_of(1), 1))
    assert trust.switched(until=NOW) is trust
