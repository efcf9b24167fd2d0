"""What is cut in the network, and above all what is not: nothing of the machine's own."""

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.plane.bench import Bench

from meshwarden.adapters.network.established import Connection
from meshwarden.adapters.spiffe.attestation import start_ticks_of
from meshwarden.control.layout import Layout
from meshwarden.control.plane import severing as module
from meshwarden.control.plane.severing import Severed, Severing
from meshwarden.kernel import DependencyError


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return replace(Bench(tmp_path).layout, first_uid=61184)


def name_process(layout: Layout, pid: int, *, start_ticks: int | None) -> None:
    found = {"processes": {"front.sidecar": pid}, "started": {"front.sidecar": start_ticks}}
    layout.processes.parent.mkdir(parents=True, exist_ok=True)
    layout.processes.write_text(json.dumps(found))


async def test_without_isolation_nothing_is_listed_or_cut(layout: Layout) -> None:
    severing = Severing(layout=replace(layout, first_uid=None))
    assert severing.mark(["front"]) == {}
    assert await severing.cut(["front"], {}) == Severed()


async def test_a_sidecar_that_does_not_run_has_nothing_to_cut(layout: Layout) -> None:
    severing = Severing(layout=layout)
    assert await severing.cut(["front"], severing.mark(["front"])) == Severed()


async def test_a_process_in_the_machines_own_network_is_left_alone(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    name_process(layout, os.getpid(), start_ticks=start_ticks_of(os.getpid()))
    monkeypatch.setattr(module, "list_connections", _refuse)
    severing = Severing(layout=layout)
    assert severing.mark(["front"]) == {"front": frozenset()}
    assert await severing.cut(["front"], severing.mark(["front"])) == Severed()


async def test_a_number_that_passed_to_another_process_is_not_followed(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    name_process(layout, os.getpid(), start_ticks=1)
    monkeypatch.setattr(module, "OWN_NETWORK", Path("/proc/self/ns/mnt"))  # some other's
    monkeypatch.setattr(module, "list_connections", _refuse)
    assert Severing(layout=layout).mark(["front"]) == {"front": frozenset()}


async def test_what_the_kernel_refuses_is_said_and_named(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    name_process(layout, os.getpid(), start_ticks=start_ticks_of(os.getpid()))
    monkeypatch.setattr(module, "OWN_NETWORK", Path("/proc/self/ns/mnt"))  # as if in another
    monkeypatch.setattr(module, "list_connections", _refuse)
    monkeypatch.setattr(module, "end_connections", _refuse)
    severing = Severing(layout=layout)
    assert severing.mark(["front"]) == {}
    assert await severing.cut(["front"], {}) == Severed(failed=("front",))
    one = Connection(("10.213.0.10", 1), ("10.213.0.11", 2), bytes(8))
    marked = {"front": frozenset({one})}
    assert await severing.cut(["front"], marked) == Severed(failed=("front",))


def _refuse(*_: object, **__: object) -> frozenset[Connection]:
    raise DependencyError("network.connections", "refused")
