"""The demonstration: a bank under load, an attack, what must fail, and what the record says of it.

A play on a running `Stage`: load by the customer model; where one is asked for, an attack by name;
the attempts, while the load goes on, and a thief who is cut off; the books. The outcome is read
from the record of calls and from the findings when everything has stopped, from the ledger's own
report and from the attack's target, never from what the players believe.
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
from meshwarden.adapters.storage.findings import FileFindingStore
from meshwarden.control.mesh import Address
from meshwarden.control.watching import Pace
from meshwarden.identity import Authority
from meshwarden.kernel import EXTERNAL, UNKNOWN, Clock, Finding, SpiffeId
from meshwarden.lab.answer import Answer, Fared, follow
from meshwarden.lab.attacks import Attack
from meshwarden.lab.attacks.siege import Siege, lay_siege
from meshwarden.lab.attempts import Attempt, Credentials, Target, try_everything
from meshwarden.lab.bank.directory import Directory
from meshwarden.lab.chain import chain_of_a_transfer
from meshwarden.lab.customers import CustomerModel
from meshwarden.lab.demo_thief import forged_authority, store_credentials
from meshwarden.lab.framing import Framing, frame
from meshwarden.lab.load import Load, LoadReport
from meshwarden.lab.replay import Replay, tell_replays
from meshwarden.lab.stage import CUSTOMERS, SEED, Stage
from meshwarden.lab.step_up import StepUp, show
from meshwarden.lab.theft import Theft, catch
from meshwarden.lab.timeline import BEHAVIOUR, AttackTimeline

START: Final = datetime(
    2026, 3, 2, 10, tzinfo=UTC
)  # a Monday morning of the model, the same always
SPEED: Final = 60.0
"""Model seconds per second: an hour of the bank's day in a minute."""
_ATTACK_AT: Final = 0.25  # of the load's seconds
_ATTACK_LASTS: Final = 0.4
_ATTEMPTS_AT: Final = 0.7
_MOST_FINDINGS: Final = 10_000


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
        step_up: what became of a customer's stolen session, and of a new device.
        chain: the hops of one transfer under its transaction token.
        findings: what was found, but for what is about the attempts; oldest first.
        attempt_findings: what was found about the attempts.
        attack: what became of the attack; None where none was asked for.
        answer: what the bank did about it; None where it did nothing.
        framing: what became of the attempt to have it cut itself off; None where there was none.
        replays: what became of tokens that the attacker had stolen.
    """

    services: int
    calls: int
    mtls_share: float
    attempts: tuple[Attempt, ...]
    ledger_balanced: bool
    isolated: bool
    load: LoadReport
    theft: Theft
    step_up: StepUp
    chain: tuple[str, ...]
    findings: tuple[Finding, ...]
    attempt_findings: tuple[Finding, ...]
    attack: AttackTimeline | None
    answer: Answer | None = None
    framing: Framing | None = None
    replays: tuple[Replay, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether everything is as it must be."""
        refused = all(attempt.refused for attempt in self.attempts)
        found = self.attack is None or self.attack.found is not None
        answered = self.answer is None or not self.answer.acted or self.answer.recovered
        answered = answered and not (self.answer and self.answer.octets_after)
        framed = self.framing is not None and not self.framing.failed
        safe = refused and found and answered and not framed and self.theft.cut_off
        safe = safe and self.step_up.passed and self._robbed_in_vain
        return safe and self.mtls_share == 1.0 and self.ledger_balanced

    @property
    def _robbed_in_vain(self) -> bool:
        """Whether stolen tokens, where the attack steals any, were presented and worth nothing."""
        robs = self.attack is not None and self.attack.attack.robs is not None
        presented = bool(self.replays) or not robs
        return presented and all(one.useless for one in self.replays)


@dataclass(kw_only=True)
class Play:
    """One performance.

    Attributes:
        stage: where.
        authority: the bank's own, from which the attacker's stolen SVIDs come.
        clock: the time of day.
        seconds: how long the load lasts.
        attack: what is carried out in the middle of it; None: nothing.
        seed: chance of the attack.
        framing: whether somebody tries to have the bank cut itself off.
    """

    stage: Stage
    authority: Authority
    clock: Clock
    seconds: float
    attack: Attack | None = None
    seed: int = 1
    framing: bool = False

    _tried: list[Attempt] = field(init=False, default_factory=list)
    _theft: Theft = field(init=False)
    _step_up: StepUp = field(init=False)
    _books: dict[str, Any] = field(init=False, default_factory=dict)
    _siege: Siege | None = field(init=False, default=None)
    _answer: Answer | None = field(init=False, default=None)
    _framing: Framing | None = field(init=False, default=None)
    _attempts_began: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        model = customer_model()
        span = self.seconds * SPEED
        self._timeline = model.timeline(start=START, span_s=span)
        self._directory = Directory(SEED, CUSTOMERS)
        here = set(self._timeline.customer.tolist())
        everybody = range(CUSTOMERS)
        self._absent = [one for one in everybody if one not in here] or list(everybody)
        self._load = Load(self.stage.edge, model=model, directory=self._directory)

    @property
    def load(self) -> LoadReport:
        """What the customers have seen so far."""
        return self._load.report

    async def perform(
        self, on_attack: Callable[[Attack], None], on_attempts: Callable[[], None]
    ) -> None:
        """Play all acts; the functions are called before the attack, and before the attempts."""
        shows = int(START.timestamp()) * 1_000_000_000
        await self.stage.watch_ready()
        await self.stage.set_pace(Pace(at=self._now_ns(), shows=shows, speed=SPEED))
        loading = asyncio.create_task(
            self._load.run(self._timeline.actions(), speed=SPEED, seconds=self.seconds)
        )
        try:
            await self._until_attempts(loading, on_attack)
            on_attempts()
            await self.stage.respond(automatically=False)  # they are to be seen through
            self._attempts_began = self._now_ns()
            self._tried = await self._attempts()
            self._step_up = await show(
                self.stage.edge,
                customer_model(),
                self._directory,
                secrets.choice(self._absent),
                self.stage.revoke_subject,
            )
            await loading
        finally:
            loading.cancel()
        self._books = await self.stage.ledger_report()

    async def _until_attempts(
        self, loading: asyncio.Task[LoadReport], on_attack: Callable[[Attack], None]
    ) -> None:
        """Let the load go on until late, with the attack in the middle of it."""
        loop = asyncio.get_running_loop()
        end = loop.time() + self.seconds * _ATTEMPTS_AT
        if self.attack is not None:
            await asyncio.wait({loading}, timeout=self.seconds * _ATTACK_AT)
            on_attack(self.attack)
            await self._carry_out(self.attack)
        if self.framing:
            await asyncio.wait({loading}, timeout=self.seconds * _ATTACK_AT)
            await self._frame()
        await asyncio.wait({loading}, timeout=max(0.0, end - loop.time()))

    async def _frame(self) -> None:
        with tempfile.TemporaryDirectory() as stolen:
            self._framing = await frame(
                self.stage,
                self.authority,
                Path(stolen),
                now=self.clock.now(),
                report=self._load.report,
            )

    async def _carry_out(self, attack: Attack) -> None:
        before, began = Fared.so_far(self._load.report), self._now_ns()
        self._siege = await lay_siege(
            self.stage,
            attack,
            seconds=min(attack.brief_s or self.seconds, self.seconds * _ATTACK_LASTS),
            seed=self.seed,
            failed_customers=lambda: self._load.report.total.failed,
            now_ns=self._now_ns,
        )
        self._answer = await follow(
            self.stage,
            self._siege.suspect,
            since=began,
            report=self._load.report,
            before=before,
        )

    def outcome(self) -> Outcome:
        """Return what the record says; to be called when the stage has stopped."""
        calls = load_calls([self.stage.layout.calls_dir]).table
        store = FileFindingStore(self.stage.layout.findings)
        findings = tuple(store.load_findings(limit=_MOST_FINDINGS))
        attempted = {finding for finding in findings if self._is_about_attempts(finding)}
        return Outcome(
            services=len(self.stage.mesh.services),
            calls=calls.num_rows,
            mtls_share=mtls_share(calls),
            attempts=tuple(_judged(attempt, calls) for attempt in self._tried),
            ledger_balanced=bool(self._books["balanced"]),
            isolated=self.stage.layout.isolated,
            load=self._load.report,
            theft=self._theft,
            step_up=self._step_up,
            chain=chain_of_a_transfer(calls, str(self.stage.policy.services["ledger"].identity)),
            findings=tuple(finding for finding in findings if finding not in attempted),
            attempt_findings=tuple(finding for finding in findings if finding in attempted),
            attack=self._told(findings, calls),
            answer=self._answer,
            framing=self._framing,
            replays=self._replays(findings, calls),
        )

    def _replays(self, findings: tuple[Finding, ...], calls: pa.Table) -> tuple[Replay, ...]:
        if self._siege is None:
            return ()
        suspect = SpiffeId.parse(self._siege.suspect)
        loot = self._siege.raid.foothold.loot
        return tell_replays(loot, suspect, self.stage.policy, findings, calls)

    def _told(self, findings: tuple[Finding, ...], calls: pa.Table) -> AttackTimeline | None:
        before = [finding for finding in findings if finding.time < self._attempts_began]
        return self._siege.told(before, calls) if self._siege else None

    def _is_about_attempts(self, finding: Finding) -> bool:
        """Return whether it is about whoever attempts what must fail, and from then on."""
        services = self.stage.policy.services
        names = {str(services[name].identity) for name in ("notifications", "payments")}
        late = finding.time >= self._attempts_began
        return late and finding.code.startswith(BEHAVIOUR) and finding.subject in {*names, UNKNOWN}

    def _now_ns(self) -> int:
        return int(self.clock.now().timestamp() * 1_000_000) * 1000

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
                stage.seen_from("notifications", layout.address("accounts"), sidecar=True),
                target.payments,
                lambda: self.stage.revoke(_certificate_in(target.payments.pem), reason="stolen"),
            )
            return tried


def customer_model() -> CustomerModel:
    """Return who the demonstration's customers are."""
    return CustomerModel(seed=1, customers=CUSTOMERS)


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
        name: store_credentials(folder / f"{name}.pem", signer, identity, moment)
        for name, (signer, identity, moment) in wanted.items()
    }


def _certificate_in(pem: Path) -> str:
    text = pem.read_text()
    return text[text.index("-----BEGIN CERTIFICATE-----") :]


def _text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return column.cast(pa.string())
