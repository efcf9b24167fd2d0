"""A control plane without sockets: a clock and chance of the test's own, a real authority."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from meshwarden.adapters.storage.lists import FileLists
from meshwarden.adapters.storage.register import FileRegister
from meshwarden.adapters.yaml import parse_document
from meshwarden.control.layout import Layout, layout_of
from meshwarden.control.mesh import Mesh, parse_mesh
from meshwarden.control.plane import ControlPlane
from meshwarden.control.plane.certificates import Certificates
from meshwarden.control.plane.identities import Identities
from meshwarden.control.plane.published import load_first
from meshwarden.control.plane.telling import Teller
from meshwarden.control.recording import Recorder
from meshwarden.identity import Authority, Trust, create_authority, create_root
from meshwarden.kernel import DependencyError, Finding

DOMAIN = "spiffe://test.example"
START = datetime(2026, 1, 1, 12, tzinfo=UTC)
POLICY = f"""\
apiVersion: meshwarden.dev/v1
trust_domain: test.example
services:
  front:
    identity: {DOMAIN}/front
  back:
    identity: {DOMAIN}/back
    accepts:
      - {{from: [front], methods: [GET], paths: [/v1/ping]}}
"""
MESH = b"""\
apiVersion: meshwarden.dev/v1
policy: access.yaml
services:
  front: {command: [front], socket: true}
  back: {command: [back], socket: true}
"""


class FakeClock:
    """Tells the time that it is set to."""

    def __init__(self) -> None:
        self.time = START

    def now(self) -> datetime:
        return self.time

    def advance(self, **by: float) -> None:
        self.time += timedelta(**by)


class FakeChance:
    """Serial numbers that count up, and always the same number of [0, 1)."""

    def __init__(self, uniform: float = 0.5) -> None:
        self._uniform = uniform
        self._serial = 2**100

    def serial(self) -> int:
        self._serial += 1
        return self._serial

    def uniform(self) -> float:
        return self._uniform


class FakeFindings:
    """Keeps findings in memory; refuses them while `full`."""

    def __init__(self) -> None:
        self.stored: list[Finding] = []
        self.full = False

    def store_finding(self, finding: Finding) -> None:
        if self.full:
            raise DependencyError("findings.write", "no space left")
        self.stored.append(finding)

    def load_findings(self, *, limit: int = 1000) -> list[Finding]:
        return self.stored[-limit:]

    @property
    def codes(self) -> list[str]:
        return [finding.code for finding in self.stored]


def new_authority(clock: FakeClock, chance: FakeChance) -> Authority:
    """Return an authority of `test.example` that lives for a year."""
    root = create_root("test.example", now=clock.now(), serial=chance.serial())
    return create_authority(root, now=clock.now(), serial=chance.serial())


class Bench:
    """The files of one mesh, and control planes on them."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.clock, self.chance, self.findings = FakeClock(), FakeChance(), FakeFindings()
        self.authority = new_authority(self.clock, self.chance)
        self.policy_file = directory / "access.yaml"
        self.policy_file.write_text(POLICY)
        self.mesh: Mesh = parse_mesh(parse_document(MESH, name="mesh.yaml"), directory)
        self.layout: Layout = layout_of(self.mesh, directory / "s")
        for name in self.mesh.services:
            self.layout.service_run_dir(name).mkdir(parents=True)
        self._recorder: Recorder | None = None

    def plane(self) -> ControlPlane:
        """Return a control plane as it is at its start."""
        published, rejected = load_first(self.mesh, self.layout)
        if self._recorder is None:
            self._recorder = Recorder(folder=self.layout.calls_dir, clock=self.clock)
        return ControlPlane(
            mesh=self.mesh,
            layout=self.layout,
            clock=self.clock,
            certificates=Certificates(
                authority=self.authority, clock=self.clock, chance=self.chance, lifetime_s=3600
            ),
            identities=Identities(
                store=FileRegister(self.layout.identity_register),
                lists=FileLists(self.layout.lists_dir),
                clock=self.clock,
                trust=Trust(current=self.authority),
            ),
            chance=self.chance,
            recorder=self._recorder,
            teller=Teller(self.findings),
            first=published,
            rejected=rejected,
        )
