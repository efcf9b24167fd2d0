"""How many processor instructions the verification of tokens costs Envoy, counted by callgrind.

    python -m benchmarks.verification_instructions [--requests N] [--json]

The variants of `benchmarks.verification`, each with the same tokens again and again, whose
signatures Envoy remembers, and with a different one on each request. As in
`benchmarks.instructions`: a count is no time, but it tells apart what throughput does not. Envoy
answers by itself.

Needs valgrind. Takes some minutes.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from benchmarks.instructions import ask, connected, control, counted
from benchmarks.load import render_request
from benchmarks.verification import KINDS, Stage, require_enforcement, staged
from meshwarden.kernel import MeshwardenError

CLIENTS: Final = 10


def count(stage: Stage, variant: str, kind: str, turns: int, directory: Path) -> float:
    """Return Envoy's instructions for each request of a variant, after as many to warm up."""
    callers = list(stage.requests)[::3][:CLIENTS]
    tokens = stage.tokens(CLIENTS * turns * 2 if kind == "distinct" else CLIENTS)
    with ExitStack() as stack:
        connections = [
            stack.enter_context(connected(stage.proxy.ports[variant], stage.callers, caller))
            for caller in callers
        ]

        def ask_all(numbers: range) -> None:
            for number in numbers:
                for at, (connection, caller) in enumerate(zip(connections, callers, strict=True)):
                    own = stage.requests[caller]
                    token = tokens[(number * CLIENTS + at) % len(tokens)]
                    ask(connection, render_request(own[number % len(own)], token))

        ask_all(range(turns))
        control(stage.proxy, "instrumentation", "on")
        control(stage.proxy, "zero")
        ask_all(range(turns, 2 * turns))
        control(stage.proxy, "dump")
        control(stage.proxy, "instrumentation", "off")
    return counted(directory) / (turns * CLIENTS)


def render(found: Mapping[str, Mapping[str, float]]) -> str:
    """Return the counts as a Markdown table, with what each adds to the first."""
    lines = ["| variant | " + " | ".join(KINDS) + " |", "|---|" + "---:|" * len(KINDS)]
    bare = next(iter(found.values()))
    for variant, counts in found.items():
        cells = (f"{counts[kind]:,.0f} ({counts[kind] - bare[kind]:+,.0f})" for kind in KINDS)
        lines.append(f"| {variant} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Count and print; return 0, or 3 where it could not."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--requests", type=int, default=400, help="of each variant")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    try:
        with tempfile.TemporaryDirectory(prefix="mw-") as name:
            directory = Path(name)
            under = ["valgrind", "--tool=callgrind", "--instr-atstart=no", "--trace-children=yes"]
            under.append(f"--callgrind-out-file={directory}/callgrind")
            with staged(directory, under=under) as stage:
                require_enforcement(stage)
                turns = max(1, options.requests // CLIENTS)
                found = {
                    variant: {kind: count(stage, variant, kind, turns, directory) for kind in KINDS}
                    for variant in stage.proxy.ports
                }
    except MeshwardenError as error:
        print(f"benchmark: {error}", file=sys.stderr)
        return 3
    print(json.dumps(found, indent=1) if options.json else render(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
