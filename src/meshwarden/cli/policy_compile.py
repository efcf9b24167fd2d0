"""`meshwarden policy compile`: a policy as what enforces it."""

import gc
import importlib
import json as jsonlib
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from cyclopts import Parameter

from meshwarden.adapters.yaml import render_documents
from meshwarden.cli.policy_cluster import ClusterOptions, cluster_of
from meshwarden.cli.policy_shared import Json, load_policy, print_json, write_all
from meshwarden.policy import AccessPolicy
from meshwarden.policy.targets import Cluster, Compiled, Unexpressed

SHOWN: Final = 20
LEVELS: Final = 11  # of an Envoy filter: down to each path
Target = Literal["envoy", "istio", "linkerd", "networkpolicy", "rego"]


def compile_command(
    file: Path,
    *,
    target: Target,
    output: Annotated[Path, Parameter(name=["-o", "--output"])],
    service: str | None = None,
    strict: Annotated[bool, Parameter(negative="")] = False,
    cluster: ClusterOptions | None = None,
    json: Json = False,
) -> int:
    """Write a policy as what enforces it.

    What the target cannot check is listed on stderr: refused there, or (a NetworkPolicy has no
    methods) wider than written, and then said so.

    Args:
        file: the policy.
        target: what enforces it.
        output: directory that the files are written to; made where it is missing.
        service: only what enforces this service's rules.
        strict: write nothing and exit 1 where the target cannot express all of it.
        cluster: the cluster's conventions.
        json: print one JSON object: files, unexpressed, remarks.
    """
    gc.disable()  # a short run that makes hundreds of thousands of objects and drops none
    compiled = compile_for(target, load_policy(file), cluster_of(cluster), service)
    _say(target, compiled)
    refused = strict and bool(compiled.unexpressed)
    files = [] if refused else write_all(output, written(compiled.files))
    if json:
        lacking = [asdict(part) for part in compiled.unexpressed]
        print_json({"files": files, "unexpressed": lacking, "remarks": list(compiled.remarks)})
    else:
        print("\n".join(files) or "nothing written")
    return 1 if refused else 0


def compile_for(
    target: Target, policy: AccessPolicy, cluster: Cluster, service: str | None = None
) -> Compiled:
    """Return the policy as `target` takes it; only the target's module is imported."""
    module: Any = importlib.import_module(f"meshwarden.policy.targets.{target}")
    if target == "envoy":
        return Compiled(
            files=module.compile_filters(policy, service),
            unexpressed=module.unexpressed(policy, service),
        )
    compiled: Compiled = module.compile_policy(policy, cluster, service)
    return compiled


def written(files: Mapping[str, Any]) -> dict[str, str]:
    """Return each file's text."""
    return {name: _text(name, content) for name, content in files.items()}


def _text(name: str, content: Any) -> str:  # noqa: ANN401  # text, value or documents, by name
    if name.endswith(".yaml"):
        return render_documents(content)
    return content if isinstance(content, str) else _laid_out(content, LEVELS) + "\n"


def _laid_out(value: Any, levels: int, indent: str = "") -> str:  # noqa: ANN401  # any JSON value
    """Return JSON: objects down to `levels` with a line for each key, what is below on one line.

    For a diff, a line a leaf is as good as json's `indent`, which is not written in C: it takes ten
    times as long, and half as much space again.
    """
    if not levels or not value or not isinstance(value, dict):
        return jsonlib.dumps(value)
    inner = f"{indent} "
    lines = (
        f"{inner}{jsonlib.dumps(key)}: {_laid_out(below, levels - 1, inner)}"
        for key, below in value.items()
    )
    return "{\n" + ",\n".join(lines) + f"\n{indent}}}"


def _say(target: str, compiled: Compiled) -> None:
    for part in compiled.unexpressed[:SHOWN]:
        print(_line(target, part), file=sys.stderr)
    if (more := len(compiled.unexpressed) - SHOWN) > 0:
        print(f"... and {more} more, all with --json{_split(compiled)}", file=sys.stderr)
    for remark in compiled.remarks:
        print(f"{target}: {remark}", file=sys.stderr)


def _line(target: str, part: Unexpressed) -> str:
    effect = "wider than written: " if part.wider else ""
    return f"{part.where}: {target} cannot express {part.rule}: {effect}{part.what}"


def _split(compiled: Compiled) -> str:
    parts: Sequence[Unexpressed] = compiled.unexpressed
    wider = sum(part.wider for part in parts)
    return f" ({wider} of {len(parts)} make the target wider than written)" if wider else ""
