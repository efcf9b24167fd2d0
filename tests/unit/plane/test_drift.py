"""What sidecars acknowledged against what the policy compiles to."""

from collections.abc import Iterable
from pathlib import Path

import pytest
from tests.unit.plane.bench import Bench

from meshwarden.adapters.envoy.ads import FILTERS
from meshwarden.adapters.envoy.delta import Acknowledgement
from meshwarden.control.plane.drift import Enforcement, compiled_versions
from meshwarden.control.plane.published import Published


class Proxies:
    """Sidecars that answered with what the policy compiles to, but for what a test changes."""

    def __init__(self, published: Published) -> None:
        self.published = published
        self.versions = {name: dict(v) for name, v in compiled_versions(published).items()}
        self.errors: dict[str, str] = {}
        self.told: list[tuple[str, tuple[str, ...]]] = []
        self.connected = True
        self.enforcement = Enforcement(
            published=lambda: self.published,
            answers=self.answers,
            connected=lambda _: self.connected,
            tell=lambda name, drift: self.told.append((name, drift)),
        )

    def answers(self, node: str) -> Iterable[Acknowledgement]:
        return [
            Acknowledgement(
                node=node, type_url=FILTERS, name=name, version=version, error=self.errors.get(name)
            )
            for name, version in self.versions[node].items()
        ]


@pytest.fixture
def proxies(tmp_path: Path) -> Proxies:
    return Proxies(Bench(tmp_path).plane().published)


def test_what_runs_as_compiled_is_no_drift(proxies: Proxies) -> None:
    for _ in range(3):
        proxies.enforcement.look()
    assert proxies.told == []
    assert any(proxies.versions.values())
    assert all(not proxies.enforcement.drift(name) for name in proxies.versions)


def test_drift_that_lasts_is_told_once_and_again_after_it_ended(proxies: Proxies) -> None:
    name = next(name for name, versions in proxies.versions.items() if versions)
    resource, good = next(iter(proxies.versions[name].items()))
    proxies.versions[name][resource] = "another"
    proxies.enforcement.look()
    assert proxies.told == []  # it may have been sent just now
    for _ in range(3):
        proxies.enforcement.look()
    assert proxies.told == [(name, (resource,))]
    proxies.versions[name][resource] = good
    proxies.enforcement.look()
    proxies.versions[name][resource] = "another"
    for _ in range(3):
        proxies.enforcement.look()
    assert len(proxies.told) == 2


def test_a_refused_filter_is_not_enforced(proxies: Proxies) -> None:
    name = next(name for name, versions in proxies.versions.items() if versions)
    resource = next(iter(proxies.versions[name]))
    proxies.errors[resource] = "no such field"
    assert proxies.enforcement.drift(name) == (resource,)


def test_a_sidecar_that_is_away_raises_no_finding(proxies: Proxies) -> None:
    name = next(name for name, versions in proxies.versions.items() if versions)
    proxies.versions[name] = {}
    proxies.connected = False
    for _ in range(3):
        proxies.enforcement.look()
    assert proxies.told == []
    assert proxies.enforcement.drift(name)


async def test_the_control_plane_raises_a_finding_that_names_sidecar_and_filters(
    tmp_path: Path,
) -> None:
    bench = Bench(tmp_path)
    plane = bench.plane()
    async with plane.running():
        plane.enforcement.tell("back", ("authorization",))
        assert bench.findings.codes == ["policy.not_enforced"]
        answered_nothing = {each.service: each.not_enforced for each in plane.status().sidecars}
        assert answered_nothing["back"] == ["authorization"]
