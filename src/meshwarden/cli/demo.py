"""`meshwarden demo`: the sample bank under zero trust, with load, and everything that must fail.

Exit code 0: every attempt was refused, a thief was cut off, every allowed call inside the mesh was
under mutual TLS, the ledger balances. 1: something of that does not hold. Figures go to stderr
while it runs; stdout has the outcome, as text or, with `--json`, as one object.
"""

import asyncio
import contextlib
import dataclasses
import json as jsonlib
import os
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter
from rich.console import Console
from rich.table import Table

from meshwarden.adapters.clock import SystemClock
from meshwarden.adapters.storage.authority import load_or_create_authority
from meshwarden.cli.up import LOOPBACK_NOTE
from meshwarden.control.layout import CONTROL_PLANE
from meshwarden.kernel import ConfigError, DependencyError
from meshwarden.lab.demo import Outcome, Play
from meshwarden.lab.stage import Stage, staged
from meshwarden.lab.theft import Theft

app = App(
    name="demo",
    help="The sample bank under zero trust, with load, and what must fail.",
    help_epilogue="Example: meshwarden demo --seconds 20 --json",
    help_format="plaintext",
    result_action="return_value",
)

LOOK_S = 1.0
PLAIN_LOOK_S = 5.0


@app.default
def demo(
    *,
    seconds: float = 60.0,
    state: Path | None = None,
    loopback: Annotated[bool, Parameter(negative="")] = False,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Run the bank, its customers and the attempts; print what the record says.

    Args:
        seconds: how long the customers' load lasts, 5 to 3600.
        state: directory to keep keys, logs and recorded calls in; a temporary one unless given.
        loopback: do not isolate services from one another and from this machine, though root could.
        json: print one JSON object.
    """
    if not 5 <= seconds <= 3600:
        raise ConfigError("demo.seconds", f"--seconds is {seconds:g}", hint="from 5 to 3600")
    with _state(state) as directory:
        outcome = asyncio.run(_run(directory, seconds, loopback=loopback))
    print(jsonlib.dumps(_as_json(outcome)) if json else _as_text(outcome))
    return 0 if outcome.passed else 1


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


async def _run(state: Path, seconds: float, *, loopback: bool) -> Outcome:
    console = Console(stderr=True)
    task = asyncio.current_task()
    for number in (signal.SIGINT, signal.SIGTERM):
        if task is not None:
            asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    console.print("starting the bank: nine services, each behind an Envoy of its own ...")
    try:
        environment = os.environ  # noqa: TID251  # entry point
        async with staged(state, environment=environment, loopback=loopback) as stage:
            play = await _play(stage, seconds, console)
        return await asyncio.to_thread(play.outcome)
    except asyncio.CancelledError as error:
        raise KeyboardInterrupt from error


async def _play(stage: Stage, seconds: float, console: Console) -> Play:
    names = ", ".join(stage.mesh.services)
    console.print(f"up: {names}; ledger on {stage.database}; edge at {stage.edge}", soft_wrap=True)
    if stage.not_isolated:
        note = LOOPBACK_NOTE.format(why=stage.not_isolated)
        console.print(f"note: {note}", highlight=False, soft_wrap=True)
    clock = SystemClock()
    authority = load_or_create_authority(
        stage.layout.authority_dir, stage.policy.trust_domain, now=clock.now()
    )
    play = Play(stage=stage, authority=authority, clock=clock, seconds=seconds)

    def _announce() -> None:
        console.print("the customers go on; now what must fail ...")

    async with _watching(stage, play, console):
        await play.perform(_announce)
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


def _as_json(outcome: Outcome) -> dict[str, Any]:
    return {
        "services": outcome.services,
        "isolated": outcome.isolated,
        "calls": outcome.calls,
        "mtls_share": outcome.mtls_share,
        "attempts": [
            {"name": attempt.name, "refused": attempt.refused, "by": attempt.by}
            for attempt in outcome.attempts
        ],
        "revocation_ms": outcome.theft.revocation_ms,
        "revocation": dataclasses.asdict(outcome.theft),
        "ledger_balanced": outcome.ledger_balanced,
        "customers": dataclasses.asdict(outcome.load.total),
    }


def _as_text(outcome: Outcome) -> str:
    console = Console(file=sys.stdout, width=100, highlight=False)
    table = Table(title="what must fail", title_justify="left", show_edge=False, pad_edge=False)
    for column in ("attempt", "outcome", "refused by", "the attacker saw"):
        table.add_column(column, overflow="fold")
    for attempt in outcome.attempts:
        table.add_row(
            attempt.name, "refused" if attempt.refused else "PASSED", attempt.by, attempt.saw
        )
    counts = outcome.load.total
    with console.capture() as text:
        console.print(table)
        console.print()
        apart = "each in a network and under a user of its own" if outcome.isolated else "loopback"
        console.print(f"services         {outcome.services}, {apart}")
        console.print(f"calls recorded   {outcome.calls:,}")
        console.print(f"mutual TLS       {outcome.mtls_share:.1%} of allowed calls in the mesh")
        console.print(f"customers        {counts.ok:,} served, {counts.failed} failed")
        console.print(f"revocation       {_revocation(outcome.theft)}")
        console.print(f"ledger           {'balanced' if outcome.ledger_balanced else 'UNBALANCED'}")
    return text.get()


def _revocation(theft: Theft) -> str:
    if theft.revocation_ms is None or not theft.cut_off:
        return "the holder of a stolen SVID of payments was NOT cut off"
    return (
        f"stolen SVID of payments refused everywhere after {theft.revocation_ms:.0f} ms;"
        " payments went on"
    )
