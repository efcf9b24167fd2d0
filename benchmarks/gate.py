"""The gate on 1,000 manifests beside checkov and conftest, on the same files in the same run.

    python -m benchmarks.gate [--rounds 5] [--manifests 1000]

Every tool reads the same folder of Deployments, Services, ConfigMaps, policies and namespaces, each
good or bad in some way, and writes JSON. conftest runs the very rules that ship here; checkov its
own. Tools that are not on the PATH are left out, and said so. Wall clock, processor time and peak
memory (of a tool and all its processes) are of the tool alone, started afresh in each round;
start-up is `gate` on one small manifest. Ratios compare within a round; the median is shown.
"""

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.manifests import write_manifests
from meshwarden.adapters.rego import SHIPPED

POLL_S = 0.02
PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What one run of a tool took: seconds, seconds of processor, bytes at the peak."""

    wall_s: float
    cpu_s: float
    peak_bytes: int


def main() -> int:
    """Run the benchmark and print its table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--manifests", type=int, default=1000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mw-") as name:
        folder, one = Path(name) / "manifests", Path(name) / "one"
        write_manifests(folder, options.manifests)
        write_manifests(one, 1)
        tools = _tools(folder, one, Path(name))
        rounds: dict[str, list[Cost]] = {tool: [] for tool in tools}
        for number in range(options.rounds):
            for tool, command in tools.items():
                print(f"round {number + 1}: {tool}", file=sys.stderr)
                rounds[tool].append(_measure(command))
        print(f"load average after: {os.getloadavg()[0]:.1f}; {os.cpu_count()} cores")
        _show(rounds)
    return 0


def _tools(folder: Path, one: Path, scratch: Path) -> dict[str, list[str]]:
    gate = [str(Path(sys.executable).with_name("meshwarden")), "gate", "--format", "json"]
    tools = {"gate": [*gate, str(folder)], "gate, start-up": [*gate, str(one)]}
    if conftest := shutil.which("conftest"):
        rules = scratch / "rules"
        for path in SHIPPED.rglob("*.rego"):
            if not path.name.endswith("_test.rego"):
                target = rules / path.relative_to(SHIPPED)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, target)
        options = ["--policy", str(rules), "--all-namespaces", "--output", "json", "--no-fail"]
        tools["conftest"] = [conftest, "test", *options, str(folder)]
    if checkov := shutil.which("checkov"):
        options = ["--framework", "kubernetes", "--quiet", "--soft-fail", "--output", "json"]
        tools["checkov"] = [checkov, "--directory", str(folder), *options]
    for name in ("conftest", "checkov"):
        if name not in tools:
            print(f"{name}: not on the PATH, left out", file=sys.stderr)
    return tools


def _measure(command: Sequence[str]) -> Cost:
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True
    )
    peak = 0
    while process.poll() is None:
        peak = max(peak, _resident(process.pid))
        time.sleep(POLL_S)
    wall = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if process.returncode not in (0, 1):
        errors = process.stderr.read().decode() if process.stderr else ""
        raise SystemExit(f"{command[0]} failed: {errors[-500:]}")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Cost(wall_s=wall, cpu_s=cpu, peak_bytes=peak)


def _resident(session: int) -> int:
    """Return the proportional memory of all processes of a session: shared pages count once."""
    total = 0
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            try:
                fields = Path(entry.path, "stat").read_text().rpartition(")")[2].split()
                if int(fields[3]) == session:
                    text = Path(entry.path, "smaps_rollup").read_text()
                    total += int(text.partition("\nPss:")[2].split()[0]) * 1024
            except (OSError, IndexError, ValueError):
                continue
    return total


def _show(rounds: dict[str, list[Cost]]) -> None:
    own = rounds["gate"]
    print("| tool | wall, s | processor, s | peak, MB | wall against gate |")
    print("|---|---|---|---|---|")
    for tool, costs in rounds.items():
        wall = statistics.median(cost.wall_s for cost in costs)
        cpu = statistics.median(cost.cpu_s for cost in costs)
        peak = max(cost.peak_bytes for cost in costs) / 1e6
        ratio = statistics.median(
            theirs.wall_s / ours.wall_s for theirs, ours in zip(costs, own, strict=True)
        )
        spread = f"{min(c.wall_s for c in costs):.2f} to {max(c.wall_s for c in costs):.2f}"
        print(f"| {tool} | {wall:.2f} ({spread}) | {cpu:.2f} | {peak:.0f} | {ratio:.2f} |")
    print(json.dumps({tool: [cost.wall_s for cost in costs] for tool, costs in rounds.items()}))


if __name__ == "__main__":
    sys.exit(main())
