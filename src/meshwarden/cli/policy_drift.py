"""`meshwarden policy drift`: whether a cluster enforces the policy as written."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Final, Literal

from cyclopts import Parameter

from meshwarden.adapters.clock import SystemClock
from meshwarden.adapters.manifests import parse_documents
from meshwarden.adapters.yaml import parse_document, render_documents
from meshwarden.cli.calls_text import printable
from meshwarden.cli.policy_cluster import ClusterOptions, cluster_of
from meshwarden.cli.policy_compile import compile_for
from meshwarden.cli.policy_import import say
from meshwarden.cli.policy_shared import Json, load_policy, print_json
from meshwarden.control.gate.run import read_paths
from meshwarden.kernel import InputError
from meshwarden.kernel.finding import Finding, Severity
from meshwarden.policy import AccessPolicy, parse_policy
from meshwarden.policy.gate.model import Document, Family, Subject
from meshwarden.policy.gate.subjects import subjects_of
from meshwarden.policy.intake import Layer, read_layer, render_draft
from meshwarden.policy.reach import diff_policies, render_diff
from meshwarden.policy.targets.drift import Drift, DriftKind, drift_of

CODE: Final = "policy.not_enforced"
_SENTENCES: Final = {
    DriftKind.MISSING: "the cluster does not hold it: apply it",
    DriftKind.CHANGED: "the cluster holds another: apply it again, and find out who changed it",
    DriftKind.LEFT_OVER: "an earlier policy left it in force: delete it",
    DriftKind.FOREIGN: "it is in force beside the policy: delete it, or take it into the policy",
}


def drift_command(
    file: Path,
    *,
    target: Literal["istio", "linkerd", "networkpolicy"],
    against: Annotated[tuple[str, ...], Parameter(allow_leading_hyphen=True)],
    cluster: ClusterOptions | None = None,
    json: Json = False,
) -> int:
    """Compare what a policy compiles to with what a cluster's API holds.

    Exit 0 where the policy is enforced as written, 1 where not, 2 where something could not be
    read. Give the same options as to `policy compile`.

    Args:
        file: the policy.
        target: what enforces it.
        against: what the API holds: files or folders; `-` is standard input, from
            `kubectl get -A -o yaml` of the target's kinds.
        cluster: the cluster's conventions.
        json: print one JSON object: findings, and the reach gained and lost as text.
    """
    policy = load_policy(file)
    compiled = list(compile_for(target, policy, cluster_of(cluster)).objects())
    found = read_paths(against)
    held = [one for one in found.subjects if one.family is Family.KUBERNETES]
    drift = drift_of(target, compiled, (one.value for one in held))
    findings = [_finding(one) for one in drift]
    domain = policy.trust_domain
    say(found)
    reach = _reach(Layer(target), _subjects(compiled), held, domain) if drift else ""
    if json:
        print_json({"findings": [asdict(one) for one in findings], "reach": reach})
    else:
        print("\n".join(printable(one.sentence) for one in findings) or "enforced as written")
        print(f"what that means, as far as it can be read:\n{reach}" if reach else "", end="")
    return 2 if found.problems else 1 if drift else 0


def _finding(one: Drift) -> Finding:
    detail = f" ({', '.join(one.paths)})" if one.paths else ""
    return Finding(
        time=int(SystemClock().now().timestamp() * 1e9),
        code=CODE,
        subject=one.object,
        severity=Severity.HIGH,
        sentence=f"Policy not enforced as written: {one.object}{detail}: {_SENTENCES[one.kind]}.",
        evidence=one.paths,
    )


def _subjects(objects: Sequence[object]) -> list[Subject]:
    text = render_documents(objects)
    found: list[Subject] = []
    for document in parse_documents(text.encode(), "compiled"):
        if isinstance(document, Document):
            found += [one for one in subjects_of(document) if isinstance(one, Subject)]
    return found


def _reach(layer: Layer, compiled: Sequence[Subject], held: Sequence[Subject], domain: str) -> str:
    """Return who may call whom by what is held, against what was compiled."""
    before, after = (_policy(layer, subjects, domain) for subjects in (compiled, held))
    return "" if before is None or after is None else render_diff(diff_policies(before, after))


def _policy(layer: Layer, subjects: Sequence[Subject], domain: str) -> AccessPolicy | None:
    text = render_draft(read_layer(layer, subjects, trust_domain=domain), title="held")
    try:
        return parse_policy(parse_document(text.encode(), name="held"))
    except InputError:  # nothing of the layer is held at all: the findings say so
        return None
