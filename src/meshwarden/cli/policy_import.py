"""`meshwarden policy import`: what a cluster enforces already, as an access policy."""

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from meshwarden.adapters.manifests import locate
from meshwarden.adapters.yaml import parse_document
from meshwarden.cli.calls_text import printable
from meshwarden.cli.policy_cluster import port_of
from meshwarden.cli.policy_shared import Json, print_json, usage_error, write_text
from meshwarden.control.gate.run import Input, read_paths
from meshwarden.kernel import InputError
from meshwarden.policy import parse_policy
from meshwarden.policy.gate.model import Subject
from meshwarden.policy.intake import Draft, Layer, LeftOut, layers_in, read_layer, render_draft

LayerName = Literal["istio", "linkerd", "networkpolicy"]


def import_command(
    *paths: Annotated[str, Parameter(allow_leading_hyphen=True)],
    layer: LayerName | None = None,
    output: Annotated[Path | None, Parameter(name=["-o", "--output"])] = None,
    trust_domain: str | None = None,
    http_port: str = "http",
    strict: Annotated[bool, Parameter(negative="")] = False,
    json: Json = False,
) -> int:
    """Read policy of Istio, Linkerd or NetworkPolicies into an access policy.

    What has no place in an access policy is left out, and named on stderr with file and line, and
    whether the result is wider for it. Exit 2 where something could not be read.

    Args:
        paths: manifests: files and folders; `-` is standard input (`kubectl get ... -o yaml`).
        layer: which to read, where the input holds policy of several.
        output: write the policy to this file; else to standard output.
        trust_domain: of the workloads, where the manifests do not tell.
        http_port: number or name of the port that takes requests (NetworkPolicy).
        strict: exit 1 where something was left out.
        json: print one JSON object: layer, policy, left_out.
    """
    if not paths:
        raise usage_error("arguments", "name the manifests, or - for standard input")
    found = read_paths(paths)
    chosen = layer_of(found.subjects, layer)
    draft = read_layer(
        chosen, found.subjects, trust_domain=trust_domain, http_port=port_of(http_port)
    )
    text = render_draft(draft, title=f"Read from {chosen}: {draft.objects} objects.")
    parse_policy(parse_document(text.encode(), name="imported policy"))
    lines = located(draft.left_out)
    say(found)
    say_left_out(lines, draft)
    if output is not None:
        write_text(output, text)
    if json:
        print_json({"layer": chosen, "policy": text, "left_out": lines})
    else:
        print(f"{output}: {len(draft.rules)} services\n" if output is not None else text, end="")
    return 2 if found.problems else 1 if strict and lines else 0


def layer_of(subjects: Sequence[Subject], wanted: LayerName | None) -> Layer:
    """Return the layer to read; InputError `policy.layer` where that is not clear."""
    there = layers_in(subjects)
    if wanted is not None and Layer(wanted) in there:
        return Layer(wanted)
    if wanted is None and len(there) == 1:
        return there[0]
    held = ", ".join(there) or "none"
    raise InputError(
        "policy.layer",
        f"the input holds policy of: {held}",
        where="--layer",
        hint="name one with --layer; import each and compare them by `policy diff`"
        if there
        else "AuthorizationPolicy of Istio or Linkerd, or NetworkPolicy",
    )


def located(left_out: Iterable[LeftOut]) -> list[dict[str, Any]]:
    """Return the notes with `file:line`, each document being searched once."""
    notes = list(left_out)
    by_document: dict[int, list[LeftOut]] = {}
    for note in notes:
        by_document.setdefault(id(note.subject.document), []).append(note)
    lines: dict[int, int] = {}
    for group in by_document.values():
        whole = [note.subject.path_in_document(note.path) for note in group]
        places = locate(group[0].subject.document, whole)
        lines |= {id(n): places[path].line for n, path in zip(group, whole, strict=True)}
    return [
        {
            "where": f"{note.subject.document.source}:{lines[id(note)]}",
            "object": note.subject.object,
            "what": note.what,
            "wider": note.wider,
        }
        for note in notes
    ]


def say(found: Input) -> None:
    """Say on stderr what could not be read, and what was not."""
    for problem in found.problems:
        print(printable(f"{problem.where}: not read: {problem.message}"), file=sys.stderr)
    for skipped in found.skipped:
        print(printable(f"meshwarden: {skipped}"), file=sys.stderr)


def say_left_out(lines: Iterable[dict[str, Any]], draft: Draft) -> None:
    """Say on stderr what could not be represented."""
    for line in lines:
        effect = " (the result is wider than that)" if line["wider"] else ""
        text = f"{line['where']}: {line['object']} {line['what']}{effect}"
        print(printable(text), file=sys.stderr)
    for identity in draft.foreign:
        print(f"meshwarden: {identity} is of another trust domain: left out", file=sys.stderr)
