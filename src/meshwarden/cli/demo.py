"""`meshwarden demo`: the sample bank under zero trust, with load, and everything that must fail.

Exit code 0: every attempt was refused, a thief was cut off, every allowed call inside the mesh was
under mutual TLS, the ledger balances. 1: something of that does not hold. Figures go to stderr
while it runs; stdout has the outcome, as text or, with `--json`, as one object.
"""

import asyncio
import contextlib
import json as jsonlib
import os
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import App, Parameter
from rich.console import Console

from meshwarden.adapters.clock import SystemClock
from meshwarden.adapters.storage.authority import load_or_create_authority
from meshwarden.cli.demo_outcome import as_json, as_text
from meshwarden.cli.exporting import exporting
from meshwarden.cli.outputs import Outputs
from meshwarden.cli.up import LOOPBACK_NOTE
from meshwarden.control.layout import BEHAVIOUR_STATE, CONTROL_PLANE
from meshwarden.kernel import ConfigError, DependencyError
from meshwarden.lab.attacks import ATTACKS, Attack
from meshwarden.lab.attacks.forgotten import render_policy
from meshwarden.lab.bank.ledger_db import find_binaries
from meshwarden.lab.demo import START, Outcome, Play, customer_model
from meshwarden.lab.history import MOST_DAYS, History, learn_history
from meshwarden.lab.stage import Stage, staged

app = App(
    name="demo",
    help="The sample bank under zero trust, with load, and what must fail.",
    help_epilogue="Example: meshwarden demo --attack exfiltration --json",
    help_format="plaintext",
    result_action="return_value",
)

AttackName = Literal[
    "scan",
    "lateral",
    "exfiltration",
    "slow-exfiltration",
    "beacon",
    "flood",
    "token-replay",
    "framing",
]
FRAMING = "framing"
PLAYBOOKS = ("full", "observe")
LOOK_S = 1.0
PLAIN_LOOK_S = 5.0


@app.default
def demo(
    *,
    attack: AttackName | None = None,
    seconds: float = 60.0,
    history: str = "7d",
    state: Path | None = None,
    loopback: Annotated[bool, Parameter(negative="")] = False,
    outputs: Outputs | None = None,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Run the bank, its customers and what must fail; print what the record says.

    Args:
        attack: carried out by a process inside a compromised service, and found or not.
        seconds: how long the customers' load lasts, 5 to 3600.
        history: what is learned as normal before: days of the bank, simulated (7d); 0 for nothing.
        state: directory to keep keys, logs and recorded calls in; a temporary one unless given.
        loopback: do not isolate services from one another and from this machine, though root could.
        outputs: where findings go.
        json: print one JSON object.
    """
    if not 5 <= seconds <= 3600:
        raise ConfigError("demo.seconds", f"--seconds is {seconds:g}", hint="from 5 to 3600")
    days = parse_days(history)
    with _state(state) as directory:
        outcome, learned = asyncio.run(
            _run(
                directory,
                seconds,
                loopback=loopback,
                days=days,
                attack=attack,
                outputs=outputs or Outputs(),
            )
        )
        kept = _keep_evidence(outcome, state)
    print(
        jsonlib.dumps(as_json(outcome, learned, kept)) if json else as_text(outcome, learned, kept)
    )
    return 0 if outcome.passed else 1


def _keep_evidence(outcome: Outcome, state: Path | None) -> Path | None:
    """Return where the archive of evidence is: beside the state, or outlives a temporary one."""
    evidence = outcome.answer.incident["evidence"] if outcome.answer else None
    if evidence is None:
        return None
    archive = Path(evidence["archive"])
    if state is not None:
        return archive
    return Path(shutil.copy2(archive, tempfile.mkdtemp(prefix="meshwarden-evidence-")))


def parse_days(text: str) -> float:
    """Return the days that `7d` or `7` are; ConfigError where it is no number of days."""
    try:
        days = float(text.removesuffix("d"))
    except ValueError:
        days = -1.0
    if not 0 <= days <= MOST_DAYS:
        raise ConfigError(
            "demo.history", f"--history {text!r} is no number of days",
            hint=f"7d, or 0 for none, at most {MOST_DAYS:g}d",
        )  # fmt: skip
    return days


@contextlib.contextmanager
def _state(given: Path | None) -> Iterator[Path]:
    if given is not None:
        try:
            given.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(
                "state.unusable",
                f"the state directory {given} cannot be used: {error.strerror}",
                hint="name another with --state",
            ) from error
        yield given.absolute()
        return
    with tempfile.TemporaryDirectory(prefix="meshwarden-") as temporary:
        yield Path(temporary)


async def _run(
    state: Path,
    seconds: float,
    *,
    loopback: bool,
    days: float,
    attack: str | None,
    outputs: Outputs,
) -> tuple[Outcome, History]:
    console = Console(stderr=True)
    task = asyncio.current_task()
    for number in (signal.SIGINT, signal.SIGTERM):
        if task is not None:
            asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    learned = await asyncio.to_thread(_learn, state, days)
    console.print(_learned(learned))
    console.print("starting the bank: nine services, each behind an Envoy of its own ...")
    try:
        environment = os.environ  # noqa: TID251  # entry point
        async with (
            exporting(outputs, state),
            staged(
                state,
                environment=environment,
                loopback=loopback,
                playbooks=PLAYBOOKS if attack else ("observe",),
                attacked=[ATTACKS[attack].service] if attack in ATTACKS else [],
                access_policy=_policy_for(ATTACKS.get(attack or "")),
            ) as stage,
        ):
            play = await _play(stage, seconds, console, attack)
        return await asyncio.to_thread(play.outcome), learned
    except asyncio.CancelledError as error:
        raise KeyboardInterrupt from error


def _policy_for(attack: Attack | None) -> str | None:
    """Return the text of the policy that the attack needs; None: the bank's own."""
    return render_policy(attack) if attack is not None and attack.grants else None


def _learn(state: Path, days: float) -> History:
    return learn_history(
        state / BEHAVIOUR_STATE,
        customer_model(),
        until=START,
        days=days,
        seed=1,
        postgres=find_binaries() is not None,
    )


def _learned(history: History) -> str:
    if not history.days:
        return "no history: the watch knows nothing yet, and says little at first"
    return (
        f"learned what is normal: {history.days:g} days of the bank, {history.calls:,} calls,"
        f" in {history.seconds:.1f} s"
    )


async def _play(stage: Stage, seconds: float, console: Console, attack: str | None) -> Play:
    names = ", ".join(stage.mesh.services)
    console.print(f"up: {names}; ledger on {stage.database}; edge at {stage.edge}", soft_wrap=True)
    if stage.not_isolated:
        note = LOOPBACK_NOTE.format(why=stage.not_isolated)
        console.print(f"note: {note}", highlight=False, soft_wrap=True)
    clock = SystemClock()
    authority = load_or_create_authority(
        stage.layout.authority_dir, stage.policy.trust_domain, now=clock.now()
    )
    play = Play(
        stage=stage,
        authority=authority,
        clock=clock,
        seconds=seconds,
        attack=ATTACKS.get(attack or ""),
        framing=attack == FRAMING,
    )

    def _announce_attack(attack: Attack) -> None:
        console.print(f"{attack.name}: a process in {attack.service} {attack.summary} ...")

    def _announce() -> None:
        console.print("the customers go on; now what must fail ...")

    async with _watching(stage, play, console):
        await play.perform(_announce_attack, _announce)
    console.print("stopping ...")
    return play


@contextlib.asynccontextmanager
async def _watching(stage: Stage, play: Play, console: Console) -> AsyncIterator[None]:
    """Show live figures while the context lasts."""
    task = asyncio.create_task(_watch(stage, play, console))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _watch(stage: Stage, play: Play, console: Console) -> None:
    live = console.is_terminal
    with console.status("...") if live else contextlib.nullcontext() as shown:
        while True:
            try:
                line = _figures(await stage.status(), play)
            except DependencyError:
                line = f"the {CONTROL_PLANE} does not answer"
            if shown is not None:
                shown.update(line)
            else:
                console.print(line, highlight=False, soft_wrap=True)
            await asyncio.sleep(LOOK_S if live else PLAIN_LOOK_S)


def _figures(status: dict[str, Any], play: Play) -> str:
    calls = status["calls"]
    totals = calls["totals"]
    inside = totals["allowed_in_mesh"]
    share = f"{totals['mutual_tls'] / inside:.1%}" if inside else "-"
    rotation = min(sidecar["renews_in_s"] for sidecar in status["sidecars"])
    counts = play.load.total
    return (
        f"{calls['rate_per_s']:6.1f} calls/s  {totals['calls']:7,} calls  mutual TLS {share:>6}"
        f"  {totals['denied']:3} refused  customers {counts.ok:,} ok, {counts.failed} failed"
        f"  next rotation in {rotation / 60:.0f} min"
    )
