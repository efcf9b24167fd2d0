"""What is done before a sidecar starts."""

from pathlib import Path

import pytest
from tests.unit.plane.bench import POLICY, Bench

from meshwarden.control.layout import FEDERATED_PORT
from meshwarden.control.mesh import Address
from meshwarden.control.supervision import Wiring
from meshwarden.control.supervision.wiring import wire
from meshwarden.kernel import DependencyError


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.fixture
def wiring(bench: Bench) -> Wiring:
    policy = bench.plane().published.policy
    return wire(bench.directory / "mesh.yaml", bench.mesh, policy, bench.layout)


@pytest.mark.parametrize(
    ("left", "ended"), [(b"", b""), (b"one\n", b"one\n"), (b"one\ntw", b"one\ntw\n")]
)
def test_a_line_that_a_killed_sidecar_left_is_ended_before_its_successor_writes(
    bench: Bench, wiring: Wiring, left: bytes, ended: bytes
) -> None:
    log = bench.layout.access_log("front")
    log.parent.mkdir(parents=True)
    log.write_bytes(left)
    wiring.sidecar(bench.mesh.services["front"])
    assert log.read_bytes() == ended


def test_the_port_for_callers_of_other_domains_must_be_free_where_there_are_any(
    bench: Bench, wiring: Wiring
) -> None:
    assert FEDERATED_PORT not in {claim.address.port for claim in wiring.claims}
    callers = "from: [front, spiffe://partner.example/shop]"
    bench.policy_file.write_text(POLICY.replace("from: [front]", callers))
    policy = bench.plane().published.policy
    claims = wire(bench.directory / "mesh.yaml", bench.mesh, policy, bench.layout).claims
    wanted = Address(host=bench.layout.host("back"), port=FEDERATED_PORT)
    assert [claim.who for claim in claims if claim.address == wanted] == ["the sidecar of 'back'"]


def test_a_sidecar_that_cannot_be_prepared_is_tried_again_later(
    bench: Bench, wiring: Wiring
) -> None:
    bench.layout.bootstrap("front").mkdir()
    with pytest.raises(DependencyError, match=r"front\.sidecar: cannot be prepared"):
        wiring.sidecar(bench.mesh.services["front"])
