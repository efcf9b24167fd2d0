"""How fast policy as code is: decide, diff, replay, compile, on 10,000 rules and 10 million calls.

    python -m benchmarks.policy [--rules N] [--calls N] [--json]

In one run, on one core:

- decide: the compiled form, beside the plain evaluator that compares with every rule of the callee,
  and, where `opa` is on the PATH, OPA 1.x on the same policy as data with an indexed look-up in
  Rego (`opa bench`, in-process, no network);
- diff: two policies of N rules of which a tenth differs, and two that differ in every rule;
- replay: recorded calls in Parquet, read, summed and judged;
- compile: to each target that there is, without and with writing the text of its files.

Each figure is the median of `ROUNDS` rounds, with the least and the greatest, of processor time:
all that is measured runs on one thread, so that is what it takes on an idle core, whatever else the
machine does. OPA measures itself, by the clock.
"""

import argparse
import gc
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import process_time
from typing import Any, Final, get_args

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.machine import describe_machine
from meshwarden.cli.policy_compile import Target, compile_for, written
from meshwarden.control.traffic import read_traffic
from meshwarden.kernel import CALL_SCHEMA, SpiffeId
from meshwarden.policy import (
    AccessPolicy,
    HttpRequest,
    PathPattern,
    Rule,
    Service,
    decide,
)
from meshwarden.policy.reach import CompiledPolicy, diff_policies
from meshwarden.policy.targets import Cluster, Compiled
from meshwarden.policy.traffic import replay

ROUNDS: Final = 3
SERVICES: Final = 100
PLAIN_REQUESTS: Final = 2_000  # the plain evaluator is slower by orders of magnitude
_REGO: Final = """package mesh
import rego.v1
default allow := false
allow if {
	some pattern in data.policy[input.destination][input.source][input.method]
	count(pattern) == count(input.path)
	every i, part in pattern { part in {"*", input.path[i]} }
}
"""


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    options.add_argument("--rules", type=int, default=10_000)
    options.add_argument("--calls", type=int, default=10_000_000)
    options.add_argument("--json", action="store_true")
    asked = options.parse_args()
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    machine = describe_machine()
    figures = _decide_figures(asked.rules) | _diff_figures(asked.rules)
    figures |= _compile_figures(asked.rules) | _replay_figures(asked.rules, asked.calls)
    if asked.json:
        print(json.dumps({"machine": machine, "figures": figures}))
        return
    for name, value in machine.items():
        print(f"{name}: {value}")
    for name, figure in figures.items():
        print(f"{name:<46} {figure}")


def _policy(rules: int, changed: Callable[[int], bool] = lambda _: False) -> AccessPolicy:
    """Return `rules` rules over `SERVICES` services, each for two callers and two patterns."""
    names = [f"service-{number}" for number in range(SERVICES)]
    identities = [SpiffeId.parse(f"spiffe://bank.example/ns/core/sa/{name}") for name in names]
    accepts: dict[int, list[Rule]] = {number: [] for number in range(SERVICES)}
    for number in range(rules):
        callee = number % SERVICES
        version = "v2" if changed(number) else "v1"
        accepts[callee].append(
            Rule(
                name=f"{names[callee]}.accepts[{len(accepts[callee])}]",
                sources=tuple(
                    identities[(callee + step * (1 + number // SERVICES % 40)) % SERVICES]
                    for step in (1, 2)
                ),
                methods=frozenset({"GET"} if number % 2 else {"GET", "POST"}),
                paths=(
                    PathPattern.parse(f"/{version}/resource-{number // SERVICES}/{{id}}"),
                    PathPattern.parse(f"/{version}/resource-{number // SERVICES}/{{id}}/entries"),
                ),
            )
        )
    services = {
        name: Service(name=name, identity=identities[number], accepts=tuple(accepts[number]))
        for number, name in enumerate(names)
    }
    return AccessPolicy(trust_domain="bank.example", services=services)


def _requests(policy: AccessPolicy, count: int) -> list[HttpRequest]:
    """Return requests of which half are allowed."""
    chance = np.random.default_rng(7)
    rules = [(s.identity, rule) for s in policy.services.values() for rule in s.accepts]
    found = []
    for pick in chance.integers(0, len(rules), count):
        destination, rule = rules[int(pick)]
        identifier = int(chance.integers(1, 10**9))
        path = (rule.paths or ())[identifier % 2].text.replace("{id}", str(identifier))
        method = "GET" if identifier % 4 < 2 else "DELETE"
        source = rule.sources[identifier % len(rule.sources)]
        found.append(HttpRequest(source=source, destination=destination, method=method, path=path))
    return found


def _decide_figures(rules: int) -> dict[str, str]:
    policy = _policy(rules)
    compiled = CompiledPolicy(policy)
    requests = _requests(policy, 100_000)
    answers = [compiled.decide(request).allowed for request in requests]  # builds the trees, too
    plain = requests[:PLAIN_REQUESTS]
    assert [decide(policy, request).allowed for request in plain] == answers[:PLAIN_REQUESTS]
    figures = {
        "decide, compiled form": _rate(
            lambda: [compiled.decide(request) for request in requests], len(requests)
        ),
        "decide, plain evaluator": _rate(
            lambda: [decide(policy, request) for request in plain], len(plain)
        ),
    }
    return figures | _opa_figure(policy, requests[0])


def _opa_figure(policy: AccessPolicy, request: HttpRequest) -> dict[str, str]:
    name = "decide, OPA (one request, indexed data)"
    opa = shutil.which("opa")
    if opa is None:
        return {name: "not measured: opa is not on the PATH"}
    with tempfile.TemporaryDirectory() as folder:
        files = {"data.json": {"policy": _as_data(policy)}, "input.json": _as_input(request)}
        for file, content in files.items():
            (Path(folder) / file).write_text(json.dumps(content))
        (Path(folder) / "mesh.rego").write_text(_REGO)
        command = [opa, "bench", "-d", "data.json", "-d", "mesh.rego", "-i", "input.json"]
        found = subprocess.run(
            [*command, "--format", "json", "data.mesh.allow"],
            cwd=folder, capture_output=True, check=True, timeout=600,
        )  # fmt: skip
    result: dict[str, Any] = json.loads(found.stdout)
    per_operation_s = result["T"] / result["N"] / 1e9
    return {name: f"{1 / per_operation_s:,.0f}/s"}


def _as_data(policy: AccessPolicy) -> dict[str, Any]:
    data: dict[str, Any] = {}
    for service in policy.services.values():
        for rule in service.accepts:
            patterns = [[part or "*" for part in pattern.segments] for pattern in rule.paths or ()]
            for source in rule.sources:
                for method in rule.methods or ():
                    callee = data.setdefault(str(service.identity), {})
                    callee.setdefault(str(source), {}).setdefault(method, []).extend(patterns)
    return data


def _as_input(request: HttpRequest) -> dict[str, Any]:
    return {
        "source": str(request.source),
        "destination": str(request.destination),
        "method": request.method,
        "path": request.path[1:].split("/"),
    }


def _diff_figures(rules: int) -> dict[str, str]:
    old = _policy(rules)
    tenth, every = _policy(rules, lambda n: n % 10 == 0), _policy(rules, lambda _: True)
    gc.disable()  # as the command does
    figures = {
        f"diff, {rules} rules, a tenth differs": _seconds(lambda: diff_policies(old, tenth)),
        f"diff, {rules} rules, every one differs": _seconds(lambda: diff_policies(old, every)),
    }
    gc.enable()
    return figures


def _compile_figures(rules: int) -> dict[str, str]:
    """Compile, and compile and write as text, for each target that the command knows."""
    policy = _policy(rules)
    gc.disable()  # as the command does
    figures = {}
    for target in get_args(Target):

        def _compile(target: Target = target) -> Compiled:
            return compile_for(target, policy, Cluster())

        def _write(target: Target = target) -> dict[str, str]:
            return written(compile_for(target, policy, Cluster()).files)

        figures[f"compile, {rules} rules, {target}"] = _seconds(_compile)
        figures[f"compile and write, {rules} rules, {target}"] = _seconds(_write)
    gc.enable()
    return figures


def _replay_figures(rules: int, calls: int) -> dict[str, str]:
    policy = _policy(rules)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "calls.parquet"
        _write_calls(policy, calls, path)

        def _once() -> None:
            found = replay(read_traffic([path]).traffic.observed(), policy)
            assert found.calls == calls

        return {f"replay, {calls:,} calls": _seconds(_once, rounds=1)}


def _write_calls(policy: AccessPolicy, calls: int, path: Path) -> None:
    """Write calls of 2,000 combinations over a week, a row group for each 100,000."""
    requests = _requests(policy, 2_000)
    chance = np.random.default_rng(8)
    names = {
        "source": pa.array([str(each.source) for each in requests]),
        "destination": pa.array([str(each.destination) for each in requests]),
        "method": pa.array([each.method for each in requests]),
        "route": pa.array(["/".join(_hidden(each.path)) for each in requests]),
    }
    with pq.ParquetWriter(path, CALL_SCHEMA) as writer:
        for start in range(0, calls, 100_000):
            rows = min(100_000, calls - start)
            picks = pa.array(chance.integers(0, len(requests), rows))
            times = chance.integers(0, 7 * 86_400 * 10**9, rows) + 1_770_000_000 * 10**9
            given = {name: values.take(picks) for name, values in names.items()}
            given |= {
                "time": pa.array(times),
                "protocol": pa.array(["http"] * rows),
                "status": pa.array(np.full(rows, 200)),
                "request_bytes": pa.array(chance.integers(0, 5_000, rows)),
                "response_bytes": pa.array(chance.integers(0, 50_000, rows)),
                "duration": pa.array(chance.integers(10**5, 10**8, rows)),
                "denied": pa.array(np.zeros(rows, dtype=bool)),
                "mtls": pa.array(np.ones(rows, dtype=bool)),
                "reporter": pa.array(["destination"] * rows),
            }
            columns = [
                given.get(field.name, pa.nulls(rows)).cast(field.type) for field in CALL_SCHEMA
            ]
            writer.write_table(pa.Table.from_arrays(columns, schema=CALL_SCHEMA))


def _hidden(path: str) -> list[str]:
    return ["{}" if part.isdigit() else part for part in path.split("/")]


def _rate(work: Callable[[], object], operations: int) -> str:
    rates = sorted(operations / _timed(work) for _ in range(ROUNDS))
    return f"{median(rates):,.0f}/s ({rates[0]:,.0f} to {rates[-1]:,.0f})"


def _seconds(work: Callable[[], object], rounds: int = ROUNDS) -> str:
    times = sorted(_timed(work) for _ in range(rounds))
    return f"{median(times):.2f} s ({times[0]:.2f} to {times[-1]:.2f})"


def _timed(work: Callable[[], object]) -> float:
    start = process_time()
    work()
    return process_time() - start


if __name__ == "__main__":
    main()
