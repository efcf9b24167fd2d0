"""The demonstration: a bank under load, what must fail, and what the record says of both.

A play of three acts on a running `Stage`: load by the customer model; the attempts, while the load
goes on, and a thief who is cut off; the books. The outcome is read from the record of calls when
everything has stopped, and from the ledger's own report, never from what the players believe.
"""

import asyncio
import secrets
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from meshwarden.adapters.process.health import Elsewhere
from meshwarden.adapters.storage.calls import load_calls
from meshwarden.control.mesh import Address
from meshwarden.identity import Authority, create_authority, create_root, issue_svid
from meshwarden.kernel import EXTERNAL, Clock, SpiffeId
from meshwarden.lab.attempts import Attempt, Credentials, Target, try_everything
from meshwarden.lab.bank.directory import Directory
from meshwarden.lab.customers import CustomerModel
from meshwarden.lab.load import Load, LoadReport
from meshwarden.lab.stage import CUSTOMERS, SEED, Stage
from meshwarden.lab.theft import Theft, catch

START: Final = datetime(
    2026, 3, 2, 10, tzinfo=UTC
)  # a Monday morning of the model, the same always
SPEED: Final = 60.0
"""Model seconds per second: an hour of the bank's day in a minute."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What the record says.

    Attributes:
        services: how many services ran, the card network not counted.
        calls: recorded calls.
        mtls_share: share, 0..1, of the allowed calls between two services of the mesh that both
            sides proved their identity in, as the callee's handshake tells.
        attempts: what was tried, and what refused it.
        ledger_balanced: whether all rows of each currency sum to zero.
        isolated: whether each service had a network and a user of its own.
        load: what the customers saw.
        theft: what became of a thief whose certificate was revoked.
    """

    services: int
    calls: int
    mtls_share: float
    attempts: tuple[Attempt, ...]
    ledger_balanced: bool
    isolated: bool
    load: LoadReport
    theft: Theft

    @property
    def passed(self) -> bool:
        """Whether everything is as it must be."""
        refused = all(attempt.refused for attempt in self.attempts)
        safe = refused and self.theft.cut_off
        return safe and self.mtls_share == 1.0 and self.ledger_balanced


@dataclass(kw_only=True)
class Play:
    """One performance.

    Attributes:
        stage: where.
        authority: the bank's own, from which the attacker's stolen SVIDs come.
        clock: the time of day.
        seconds: how long the load lasts.
    """

    stage: Stage
    authority: Authority
    clock: Clock
    seconds: float

    _tried: list[Attempt] = field(init=False, default_factory=list)
    _theft: Theft = field(init=False)
    _books: dict[str, Any] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        model = CustomerModel(seed=1, customers=CUSTOMERS)
        span = self.seconds * SPEED
        self._timeline = model.timeline(start=START, span_s=span)
        self._load = Load(self.stage.edge, model=model, directory=Directory(SEED, CUSTOMERS))

    @property
    def load(self) -> LoadReport:
        """What the customers have seen so far."""
        return self._load.report

    async def perform(self, on_attempts: Callable[[], None]) -> None:
        """Play all acts; `on_attempts` is called before the attempts begin, late in the load."""
        loading = asyncio.create_task(
            self._load.run(self._timeline.actions(), speed=SPEED, seconds=self.seconds)
        )
        try:
            await asyncio.wait({loading}, timeout=self.seconds * 0.6)
            on_attempts()
            self._tried = await self._attempts()
            await loading
        finally:
            loading.cancel()
        self._books = await self.stage.ledger_report()

    def outcome(self) -> Outcome:
        """Return what the record says; to be called when the stage has stopped."""
        calls = load_calls([self.stage.layout.calls_dir]).table
        return Outcome(
            services=len(self.stage.mesh.services),
            calls=calls.num_rows,
            mtls_share=mtls_share(calls),
            attempts=tuple(_judged(attempt, calls) for attempt in self._tried),
            ledger_balanced=bool(self._books["balanced"]),
            isolated=self.stage.layout.isolated,
            load=self._load.report,
            theft=self._theft,
        )

    async def _attempts(self) -> list[Attempt]:
        stage = self.stage
        layout = stage.layout
        inbound, proxy = layout.address("ledger"), layout.proxy("payments")
        with tempfile.TemporaryDirectory() as stolen:
            target = Target(
                ledger=stage.seen_from("notifications", inbound, sidecar=True),
                proxy=stage.seen_from("payments", proxy),
                neighbour=partial(_neighbour, stage) if layout.isolated else None,
                ledger_pid=stage.supervisor.pids["ledger"],
                **steal(Path(stolen), self.stage, self.authority, now=self.clock.now()),
            )
            tried = await try_everything(target)
            self._theft = await catch(
                target.ledger,
                target.payments,
                lambda: self.stage.revoke(_certificate_in(target.payments.pem), reason="stolen"),
            )
            return tried


def _neighbour(stage: Stage, port: int) -> Elsewhere:
    address = Address(host=stage.layout.host("ledger"), port=port)
    return stage.seen_from("payments", address)


def mtls_share(calls: pa.Table) -> float:
    """Return the share of the allowed calls within the mesh whose both sides proved who they are.

    Counted are calls that the callee's own sidecar reported, edges left out; 1.0 where there are
    none would claim what nobody saw, so that is 0.0.
    """
    inside = pc.and_(
        pc.equal(_text(calls["reporter"]), "destination"),
        pc.invert(pc.starts_with(_text(calls["source"]), EXTERNAL)),
    )
    proven = calls.filter(pc.and_(inside, pc.invert(calls["denied"])))["mtls"]
    return (pc.sum(proven).as_py() or 0) / len(proven) if len(proven) else 0.0


def _judged(attempt: Attempt, calls: pa.Table) -> Attempt:
    """Return the attempt with what the record says refused it, where a sidecar saw it."""
    if not attempt.mark:
        return attempt
    chosen = calls["denied"]
    for column, value in attempt.mark.items():
        chosen = pc.and_kleene(chosen, pc.equal(calls[column], value))
    rules = _text(calls.filter(chosen)["rule"]).to_pylist()
    if not rules:
        return replace(attempt, refused=False, by="not recorded as refused")
    return replace(attempt, by=rules[-1])


def steal(
    folder: Path, stage: Stage, authority: Authority, *, now: datetime
) -> dict[str, Credentials]:
    """Write into `folder` what the attacker holds: stolen, expired and forged certificates."""
    services = stage.policy.services
    forger = forged_authority(stage.policy.trust_domain, now=now)
    long_ago = now - timedelta(hours=2)
    wanted = {
        "notifications": (authority, services["notifications"].identity, now),
        "payments": (authority, services["payments"].identity, now),
        "expired": (authority, services["payments"].identity, long_ago),
        "foreign": (forger, services["ledger"].identity, now),
    }
    return {
        name: _credentials(folder / f"{name}.pem", signer, identity, moment)
        for name, (signer, identity, moment) in wanted.items()
    }


def forged_authority(trust_domain: str, *, now: datetime) -> Authority:
    """Return an authority that claims the bank's trust domain, as anyone can make one."""
    root = create_root(trust_domain, now=now, serial=_serial())
    return create_authority(root, now=now, serial=_serial())


def _credentials(path: Path, signer: Authority, identity: SpiffeId, now: datetime) -> Credentials:
    svid = issue_svid(signer, identity, now=now, serial=_serial())
    path.touch(mode=0o600)
    path.write_text(svid.private_key.reveal() + svid.certificate_chain)
    return Credentials(pem=path, sha256=svid.sha256)


def _certificate_in(pem: Path) -> str:
    text = pem.read_text()
    return text[text.index("-----BEGIN CERTIFICATE-----") :]


def _serial() -> int:
    return secrets.randbits(126) | 1 << 126


def _text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return column.cast(pa.string())
