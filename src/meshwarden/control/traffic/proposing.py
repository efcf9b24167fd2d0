"""Turns the smallest change into a patch of the policy file, checked before anyone sees it."""

import difflib
from collections.abc import Iterator

from meshwarden.adapters.yaml import parse_document
from meshwarden.control.traffic.learning import Existing
from meshwarden.kernel import InputError
from meshwarden.policy import Connection, HttpRequest, decide, parse_policy
from meshwarden.policy.edit import Insertion, PolicyText, apply_insertions
from meshwarden.policy.fix import Fix, minimal_fix, plan_fix
from meshwarden.policy.match import Claims
from meshwarden.policy.reach import diff_policies


def propose_patch(
    existing: Existing, asked: HttpRequest | Connection, claims: Claims | None = None
) -> str | None:
    """Return a unified diff of the policy file after which `asked` is allowed.

    None where no change of policy should (an unclean path, an unknown callee, a missing token) or
    where the file is written in a way that cannot be added to.
    """
    callee = existing.policy.service_with(asked.destination)
    decision = decide(existing.policy, asked, claims)
    if callee is None or decision.fix is None:
        return None
    fix = plan_fix(existing.policy, callee, asked, claims)
    if fix is None or fix.field is None:
        return None
    editing = PolicyText(existing.text, existing.document)
    for insertion in _edits(editing, callee.name, fix, minimal_fix(existing.policy, callee, asked)):
        text = apply_insertions(existing.text, [insertion])
        if _allows(existing, text, asked, claims):
            return _patch(existing, text)
    return None


def _edits(editing: PolicyText, callee: str, fix: Fix, minimal: Fix) -> Iterator[Insertion]:
    """Yield the smallest edit, then the one that is nearly always possible: a rule of its own."""
    if fix.rule is not None and fix.field is not None:
        index = int(fix.rule.name.rpartition("[")[2].rstrip("]"))
        found = editing.add_to_rule(callee, index, fix.field, fix.entry)
        if found is not None:
            yield found
    yield from editing.add_entries(callee, {"accepts": [f"- {minimal.entry}"]})


def _allows(
    existing: Existing, text: str, asked: HttpRequest | Connection, claims: Claims | None
) -> bool:
    try:
        changed = parse_policy(parse_document(text.encode(), name=str(existing.path)))
    except InputError:
        return False
    lost = diff_policies(existing.policy, changed).lost
    return decide(changed, asked, claims).allowed and not lost


def _patch(existing: Existing, text: str) -> str:
    name = str(existing.path)
    lines = difflib.unified_diff(
        existing.text.splitlines(keepends=True),
        text.splitlines(keepends=True),
        fromfile=f"a/{name.lstrip('/')}",
        tofile=f"b/{name.lstrip('/')}",
    )
    return "".join(line if line.endswith("\n") else f"{line}\n" for line in lines)
