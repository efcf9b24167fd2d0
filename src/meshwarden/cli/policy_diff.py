"""`meshwarden policy diff`: which caller may newly reach what, and which may no longer."""

import gc
from dataclasses import asdict
from pathlib import Path
from typing import Any

from meshwarden.cli.policy_shared import Json, Markdown, load_policy, print_json, usage_error
from meshwarden.policy.reach import (
    Change,
    PolicyDiff,
    diff_policies,
    render_diff,
    render_diff_markdown,
)


def diff(old: Path, new: Path, *, markdown: Markdown = False, json: Json = False) -> int:
    """Say what two policies differ in: exact, by what they mean, not by how they are written.

    Exit 0 where both allow the same, 1 where they do not.

    Args:
        old: the policy before.
        new: the policy after.
        markdown: print a section for a pull request.
        json: print one JSON object: gained, lost.
    """
    if markdown and json:
        raise usage_error("arguments", "--markdown or --json, not both")
    gc.disable()  # a short run that makes hundreds of thousands of objects and drops few
    found = diff_policies(load_policy(old), load_policy(new))
    if json:
        print_json(diff_object(found))
    else:
        print(render_diff_markdown(found) if markdown else render_diff(found))
    return 1 if found.changes else 0


def diff_object(diff: PolicyDiff) -> dict[str, Any]:
    """Return the difference as a JSON object; parties as an author calls them."""
    return {
        "gained": [_object(diff, change) for change in diff.gained],
        "lost": [_object(diff, change) for change in diff.lost],
    }


def _object(diff: PolicyDiff, change: Change) -> dict[str, Any]:
    example = None
    if change.example_path:
        example = {
            "method": change.example_method,
            "path": change.example_path,
            "claims": change.example_claims,
        }
    return {
        "kind": change.kind,
        "from": None if change.source is None else diff.name_of(change.source),
        "to": None if change.destination is None else diff.name_of(change.destination),
        "rule": change.rule,
        "where": change.where,
        "methods": change.methods,
        "not_methods": change.not_methods,
        "paths": change.paths,
        "besides": change.besides,
        "token": None if change.token is None else asdict(change.token),
        "port": change.port,
        "host": change.host,
        "example": example,
    }
