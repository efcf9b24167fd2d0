"""What authorization costs: our compiled policy against its peers, behind one Envoy worker.

    python -m benchmarks.authorization [--quick] [--rounds N] [--seconds S] [--json | --markdown]

Variants: no authorization; a filter that always allows (the least that any policy costs); the
compiled matcher tree with 100, 1,000 and 10,000 rules; the same
rules as a classic list of RBAC policies; a do-nothing remote authorizer in Python; OPA's Envoy
plugin with 10,000 rules, where the binary `opa` (the opa-envoy-plugin build) is on the PATH.

Each round visits every variant, in an order that turns from round to round, with

1. a closed loop on 100 connections: throughput, and Envoy's processor time for each request;
2. an open loop at half of what the first bare run carried: p99, from when each request was due.

Next to each run, before it in one round and after it in the next, is a bare one; ratios are to
that. A machine that gets slower and faster within seconds would otherwise be what is measured.
Envoy has one
core to itself; load and application are one process on another; remote authorizers get a third
core where there is one, else they share the second.
Before anything is measured, every variant that enforces rules has to allow what they allow and
refuse what they do not.

Needs Linux and two cores, and nothing beside the development environment. A busy machine distorts
it: the load average at the start is part of the output.
"""

import argparse
import json
import os
import signal
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from cryptography import x509

from benchmarks.authorizers import RemoteAuthorizer, opa_authorizer, python_authorizer
from benchmarks.client import Callers, issue_callers, run_load, status_of
from benchmarks.load import Job, Outcome
from benchmarks.machine import describe_machine
from benchmarks.proxy import Proxy, external_authorization, running_proxy
from benchmarks.report import Measured, Report, render_markdown, render_text, verdict
from benchmarks.workload import (
    CALLEE,
    CALLERS,
    TRUST_DOMAIN,
    Grant,
    always_allow,
    classic_list,
    compiled_tree,
    draw_refusals,
    draw_requests,
    make_grants,
)
from meshwarden.identity import create_authority, create_root, issue_svid
from meshwarden.kernel import ConfigError, DependencyError, MeshwardenError

BARE: Final = "no authorization"
ALLOW: Final = "RBAC filter that always allows"
OURS: Final = "meshwarden, {:,} rules"
LIST: Final = "RBAC list, {:,} rules"
PYTHON: Final = "ext_authz, Python, does nothing"
OPA: Final = "ext_authz, OPA, 10,000 rules"
LARGEST: Final = max(CALLERS)
CONNECTIONS: Final = 100
SEED: Final = 20261123


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How long to measure: rounds, and seconds of each of the two loads and before it.

    With `forward`, an application answers; without, the proxy itself.
    """

    rounds: int
    seconds: float
    warm_up_s: float
    forward: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Cores:
    """Which core runs what."""

    proxy: int
    client: int
    authorizer: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One way to authorize.

    Attributes:
        name: as shown.
        rules: whose requests exercise it.
        filter: Envoy's; None for no authorization.
        enforces: whether it refuses what the rules do not allow.
        authorizer: the one that it asks; None where the proxy decides by itself.
    """

    name: str
    rules: int
    filter: dict[str, Any] | None
    enforces: bool = True
    authorizer: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """Everything that runs while it is measured."""

    proxy: Proxy
    application: Path | None
    authorizers: Mapping[str, RemoteAuthorizer]
    callers: Callers
    requests: Mapping[int, Mapping[str, list[str]]]
    cores: Cores


def main() -> int:
    """Run the benchmark; return 0, or the exit code of what kept it from running."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that everything is cleaned up
    options = _arguments()
    settings = Settings(
        rounds=options.rounds or (1 if options.quick else 12),
        seconds=options.seconds or (0.5 if options.quick else 1.0),
        warm_up_s=0.3,
        forward=not options.answer,
    )
    try:
        report = run(settings)
    except MeshwardenError as error:
        print(f"benchmark: {error}", file=sys.stderr)
        return 2 if isinstance(error, ConfigError) else 3
    except KeyboardInterrupt:
        return 130
    if options.json:
        print(json.dumps(asdict(report), indent=1))
    else:
        print(render_markdown(report) if options.markdown else render_text(report))
        print(f"\n{verdict(report, OURS.format(LARGEST))}")
    return 0


def run(settings: Settings) -> Report:
    """Return what was measured.

    Raises:
        ConfigError: `benchmark.machine` where there are not two cores.
        DependencyError: `benchmark.start`, `benchmark.load`, `benchmark.enforcement`.
    """
    machine = describe_machine()
    with tempfile.TemporaryDirectory(prefix="meshwarden-bench-") as name, ExitStack() as stack:
        cores = choose_cores()
        grants = {rules: make_grants(rules) for rules in CALLERS}
        authorizers, not_measured = _start_authorizers(
            stack, Path(name), grants[LARGEST], core=cores.authorizer
        )
        variants = _variants(grants, authorizers)
        starting = _stage(
            Path(name), variants, grants, authorizers, cores, forward=settings.forward
        )
        stage = stack.enter_context(starting)
        for variant in variants:
            _require_enforcement(stage, variant, grants[variant.rules])
        bare = _load(stage, variants[0], settings, rate_per_s=0)
        rate_per_s = bare.requests / bare.seconds / 2
        rounds: dict[str, list[Measured]] = {variant.name: [] for variant in variants}
        beside: dict[str, list[Measured]] = {variant.name: [] for variant in variants}
        for number in range(settings.rounds):
            turn = number % len(variants)
            for variant in variants[turn:] + variants[:turn]:
                _progress(f"round {number + 1} of {settings.rounds}: {variant.name}")
                pair = [(beside, variants[0]), (rounds, variant)]
                order = pair if number % 2 else pair[::-1]
                both = _measure(stage, [one for _, one in order], settings, rate_per_s)
                for (kept, _), measured in zip(order, both, strict=True):
                    kept[variant.name].append(measured)
    return Report(
        machine=machine,
        connections=CONNECTIONS,
        rate_per_s=rate_per_s,
        seconds=settings.seconds,
        forward=settings.forward,
        bare=BARE,
        rounds=rounds,
        beside=beside,
        not_measured=not_measured,
    )


def _variants(
    grants: Mapping[int, list[Grant]], authorizers: Mapping[str, RemoteAuthorizer]
) -> list[Variant]:
    found = [
        Variant(name=BARE, rules=LARGEST, filter=None, enforces=False),
        Variant(name=ALLOW, rules=LARGEST, filter=always_allow(), enforces=False),
    ]
    for rules, some in grants.items():
        tree = Variant(name=OURS.format(rules), rules=rules, filter=compiled_tree(some))
        found.append(tree)
    for rules, some in grants.items():
        found.append(Variant(name=LIST.format(rules), rules=rules, filter=classic_list(some)))
    for name in authorizers:
        remote = Variant(
            name=name,
            rules=LARGEST,
            filter=external_authorization(_cluster(name)),
            enforces=name == OPA,
            authorizer=name,
        )
        found.append(remote)
    return found


def _start_authorizers(
    stack: ExitStack, directory: Path, grants: list[Grant], *, core: int
) -> tuple[dict[str, RemoteAuthorizer], dict[str, str]]:
    """Return those that run, and why another does not."""
    _progress("starting authorizers")
    found = {PYTHON: stack.enter_context(python_authorizer(directory, core=core))}
    try:
        found[OPA] = stack.enter_context(opa_authorizer(directory, grants, core=core))
    except (ConfigError, DependencyError) as error:
        return found, {OPA: error.message}
    return found, {}


@contextmanager
def _stage(
    directory: Path,
    variants: list[Variant],
    grants: Mapping[int, list[Grant]],
    authorizers: Mapping[str, RemoteAuthorizer],
    cores: Cores,
    *,
    forward: bool,
) -> Iterator[Stage]:
    _progress("starting Envoy with all rules")
    now = datetime.now(UTC)
    root = create_root(TRUST_DOMAIN, now=now, serial=x509.random_serial_number())
    authority = create_authority(root, now=now, serial=x509.random_serial_number())
    identities = sorted({grant.caller for grant in grants[LARGEST]})
    application = directory / "application.sock" if forward else None
    proxy = running_proxy(
        directory,
        filters={variant.name: variant.filter for variant in variants},
        application=application,
        authorizers={_cluster(name): one.socket for name, one in authorizers.items()},
        authority=authority,
        svid=issue_svid(authority, CALLEE, now=now, serial=x509.random_serial_number()),
        core=cores.proxy,
    )
    with proxy as running:
        yield Stage(
            proxy=running,
            application=application,
            authorizers=authorizers,
            callers=issue_callers(authority, identities, directory, now=now),
            requests={rules: draw_requests(some, seed=SEED) for rules, some in grants.items()},
            cores=cores,
        )


def _require_enforcement(stage: Stage, variant: Variant, grants: list[Grant]) -> None:
    """DependencyError `benchmark.enforcement` where it lets pass or refuses the wrong request.

    The application is not there yet: what passes gets 503 where the proxy forwards.
    """
    passes = 503 if stage.application else 200
    asked = [(caller, own[0], passes) for caller, own in stage.requests[variant.rules].items()]
    if variant.enforces:
        asked += [(caller, one, 403) for caller, one in draw_refusals(grants, seed=SEED)]
    port = stage.proxy.ports[variant.name]
    for caller, request, wanted in asked:
        status = status_of(port, stage.callers, caller, request)
        if status != wanted:
            raise DependencyError(
                "benchmark.enforcement",
                f"{variant.name}: {request} of {caller} got {status} instead of {wanted}",
            )


def _measure(
    stage: Stage, variants: list[Variant], settings: Settings, rate_per_s: float
) -> list[Measured]:
    """Return what was measured of each: first the closed loops of all, then the open ones."""
    closed = [_load(stage, variant, settings, rate_per_s=0) for variant in variants]
    for variant, outcome in zip(variants, closed, strict=True):
        if not outcome.requests:
            raise DependencyError(
                "benchmark.load",
                f"{variant.name}: no request was answered in {settings.seconds:g} s",
                hint="measure longer: --seconds",
            )
    carries = min(outcome.requests / outcome.seconds for outcome in closed) > rate_per_s
    latencies = [
        _load(stage, variant, settings, rate_per_s=rate_per_s).latency_ms if carries else {}
        for variant in variants
    ]
    return [_measured(*both) for both in zip(closed, latencies, strict=True)]


def _measured(closed: Outcome, latency: Mapping[str, float]) -> Measured:
    asked = closed.processor_s.get("authorizer")
    return Measured(
        throughput_per_s=closed.requests / closed.seconds,
        envoy_us=closed.processor_s["envoy"] / closed.requests * 1e6,
        envoy_busy=closed.processor_s["envoy"] / closed.seconds,
        authorizer_us=None if asked is None else asked / closed.requests * 1e6,
        others_busy=closed.processor_s["others"] / closed.seconds,
        p50_ms=latency.get("p50"),
        p99_ms=latency.get("p99"),
    )


def _load(stage: Stage, variant: Variant, settings: Settings, *, rate_per_s: float) -> Outcome:
    processes = {"envoy": stage.proxy.pid}
    if variant.authorizer:
        processes["authorizer"] = stage.authorizers[variant.authorizer].pid
    requests = stage.requests[variant.rules]
    return run_load(
        Job(
            port=stage.proxy.ports[variant.name],
            application=str(stage.application or ""),
            bundle=stage.callers.bundle,
            callers=[(str(stage.callers.files[who]), own) for who, own in requests.items()],
            connections=CONNECTIONS,
            warm_up_s=settings.warm_up_s,
            seconds=settings.seconds,
            rate_per_s=rate_per_s,
            processes=processes,
            core=stage.cores.client,
            spin=variant.authorizer is None or stage.cores.authorizer != stage.cores.client,
        )
    )


def _cluster(authorizer: str) -> str:
    return "opa" if authorizer == OPA else "python"


def choose_cores() -> Cores:
    """Return which core runs what; ConfigError `benchmark.machine` where there are not two."""
    usable = sorted(os.sched_getaffinity(0))
    if len(usable) < 2:
        raise ConfigError(
            "benchmark.machine",
            "this benchmark needs two cores, one for Envoy alone",
            hint="run it on a larger machine, or let the process use more cores",
        )
    return Cores(proxy=usable[0], client=usable[1], authorizer=usable[2 % len(usable) or 1])


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.authorization",
        description="What authorization costs behind one Envoy worker, beside its peers.",
    )
    parser.add_argument("--quick", action="store_true", help="one short round: does it work")
    parser.add_argument("--rounds", type=int, help="default 12")
    parser.add_argument("--seconds", type=float, help="of each load; default 1")
    parser.add_argument(
        "--answer", action="store_true", help="the proxy answers by itself, no application"
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="every figure of every round")
    form.add_argument("--markdown", action="store_true", help="the table as Markdown")
    return parser.parse_args()


def _progress(what: str) -> None:
    print(f"benchmark: {what}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
