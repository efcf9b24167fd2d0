"""`meshwarden policy compile`: a policy as what enforces it."""

import gc
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from meshwarden.cli.policy_shared import Json, load_policy, print_json, write_all


def compile_command(
    file: Path,
    *,
    target: Literal["envoy"],
    output: Annotated[Path, Parameter(name=["-o", "--output"])],
    service: str | None = None,
    strict: Annotated[bool, Parameter(negative="")] = False,
    json: Json = False,
) -> int:
    """Write a policy as the filters that enforce it, one JSON file each.

    What the target cannot check is refused by the filter, and listed on stderr.

    Args:
        file: the policy.
        target: what enforces it.
        output: directory that the files are written to; made where it is missing.
        service: only the filters of this service.
        strict: write nothing and exit 1 where the target cannot express all of it.
        json: print one JSON object: files, unexpressed.
    """
    from meshwarden.policy.targets import envoy  # noqa: PLC0415  # protobuf takes time to import

    gc.disable()  # a short run that makes hundreds of thousands of objects and drops none
    policy = load_policy(file)
    lacking = envoy.unexpressed(policy, service)
    for part in lacking:
        print(f"{part.where}: {target} cannot express {part.rule}: {part.what}", file=sys.stderr)
    refused = strict and bool(lacking)
    files = [] if refused else write_all(output, envoy.compile_filters(policy, service))
    if json:
        print_json({"files": files, "unexpressed": [asdict(part) for part in lacking]})
    else:
        print("\n".join(files) or "nothing written")
    return 1 if refused else 0
