"""Learns a policy from recorded calls, and merges it into one that exists.

A merge adds to the text and changes nothing that a person wrote. What comes out is parsed again and
compared with the policy before: it allows all that was allowed, and what was learned; else nothing
is written.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from meshwarden.adapters.storage.findings import FileFindingStore
from meshwarden.adapters.yaml import load_bytes, parse_document
from meshwarden.control.traffic.reading import read_period, read_traffic
from meshwarden.kernel import ConfigError, InputError, Node, SpiffeId
from meshwarden.policy import AccessPolicy, parse_policy
from meshwarden.policy.edit import Insertion, PolicyText, apply_insertions
from meshwarden.policy.reach import diff_policies
from meshwarden.policy.traffic import Replay, Traffic, replay
from meshwarden.policy.traffic.learn import learn
from meshwarden.policy.traffic.learn_text import (
    MARK,
    host_lines,
    name_services,
    render_learned,
    rule_lines,
    service_lines,
    support_text,
    sureness,
)
from meshwarden.policy.traffic.learned import Learned, LearnSettings
from meshwarden.policy.traffic.observed import Observed
from meshwarden.policy.traffic.usage import supports_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Existing:
    """A policy file that is added to."""

    text: str
    document: Node
    policy: AccessPolicy
    path: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What was learned, the text of the policy, and what it allows."""

    learned: Learned
    text: str
    policy: AccessPolicy


def load_existing(path: Path) -> Existing:
    """Return the policy file; ConfigError or InputError where it is none."""
    raw = load_bytes(path)
    document = parse_document(raw, name=str(path))
    policy = parse_policy(document)
    return Existing(text=raw.decode("utf-8"), document=document, policy=policy, path=path)


def load_suspects(path: Path | None) -> frozenset[str]:
    """Return what the findings in `path` (JSON lines) name as evidence: transactions, calls.

    Raises:
        ConfigError: `file.unreadable` where the file is not there.
    """
    if path is None:
        return frozenset()
    if not path.is_file():
        raise ConfigError("file.unreadable", f"cannot read {path}: no such file")
    findings = FileFindingStore(path).load_findings(limit=100_000)
    return frozenset(name for finding in findings for name in finding.evidence)


def learn_policy(
    observed: Sequence[Observed], settings: LearnSettings, existing: Existing | None
) -> Written:
    """Return the policy that allows `observed` beside what `existing` allows.

    Raises:
        InputError: `policy.nothing_learned`; `policy.merge` where the text of `existing` is written
            in a way that cannot be added to.
    """
    if existing is not None:
        learned = learn(observed, settings, existing.policy)
        return _merged(learned, observed, existing)
    learned = learn(observed, settings)
    if not learned.services:
        raise InputError(
            "policy.nothing_learned",
            "no call teaches anything",
            where="calls",
            hint="calls need callers that proved their identity (mtls), and must not be denied",
        )
    names = name_services(learned.services, {})
    text = render_learned(learned, names)
    return Written(learned=learned, text=text, policy=_parsed(text))


def hold_out(
    calls: Sequence[Path], share: float, settings: LearnSettings, suspects: frozenset[str]
) -> Replay | None:
    """Return what a policy learned from the earlier part of the period does to the later part.

    Args:
        calls: files of calls.
        share: of the period, 0..1, that is held out at its end.
        settings: how to learn.
        suspects: transactions to leave out.
    """
    period = read_period(calls)
    if period is None:
        return None
    cut = period.last - int((period.last - period.first) * share)
    before = read_traffic(calls, Traffic(until=cut, without=suspects)).traffic.observed()
    after = read_traffic(calls, Traffic(since=cut, without=suspects)).traffic.observed()
    learned = learn_policy(before, settings, None)
    return replay([seen for seen in after if not seen.denied], learned.policy)


def _merged(learned: Learned, observed: Sequence[Observed], existing: Existing) -> Written:
    names = name_services(
        learned.services,
        {each.identity: each.name for each in existing.policy.services.values()},
    )
    editing = PolicyText(existing.text, existing.document)
    added: list[Insertion] = []
    for identity, service in learned.services.items():
        known = existing.policy.service_with(identity)
        entries: dict[str, list[str]] = {}
        if service.edge:
            entries["edge"] = ["true"]
        if service.rules:
            entries["accepts"] = [line for r in service.rules for line in rule_lines(r, names)]
        if service.egress:
            entries["egress"] = [line for host in service.egress for line in host_lines(host)]
        if known is not None and entries:
            added += editing.add_entries(known.name, entries)
    new = [each for each in learned.services.values() if _is_new(existing, each.identity)]
    added += editing.add_services(service_lines(each, names[each.identity], names) for each in new)
    added += _renewed_comments(editing, existing, observed)
    text = apply_insertions(existing.text, added)
    return Written(learned=learned, text=text, policy=_checked(text, existing, learned))


def _is_new(existing: Existing, identity: SpiffeId) -> bool:
    return existing.policy.service_with(identity) is None


def _renewed_comments(
    editing: PolicyText, existing: Existing, observed: Sequence[Observed]
) -> list[Insertion]:
    """Bring the evidence of rules that were learned earlier up to date, where they were used."""
    found: list[Insertion] = []
    supports = supports_of(existing.policy, observed)
    services = existing.document.mapping()["services"].mapping()
    for name, service in existing.policy.services.items():
        if not service.accepts:
            continue
        nodes = services[name].mapping()["accepts"].items()
        for rule, node in zip(service.accepts, nodes, strict=True):
            support, line = supports.get(rule.name), editing.comment_above(node, MARK)
            if support is not None and line is not None:
                indent = editing.line(line).partition("#")[0]
                text = f"{indent}{MARK} {support_text(support)}; {sureness(support)}"
                found.append(Insertion(at=line, lines=[text], replaces=1))
    return found


def _checked(text: str, existing: Existing, learned: Learned) -> AccessPolicy:
    """Return the merged policy once it is sure that it means what it should."""
    refusal = InputError(
        "policy.merge",
        "what was learned cannot be added to this text without rewriting it",
        where=str(existing.path),
        hint="write its lists and services as blocks, one entry a line, or learn to another file",
    )
    try:
        merged = _parsed(text)
    except InputError as error:
        raise refusal from error
    wanted = sum(len(service.rules) for service in learned.services.values())
    rules = _count(merged) - _count(existing.policy)
    if diff_policies(existing.policy, merged).lost or rules != wanted:
        raise refusal
    return merged


def _count(policy: AccessPolicy) -> int:
    return sum(len(service.accepts) for service in policy.services.values())


def _parsed(text: str) -> AccessPolicy:
    return parse_policy(parse_document(text.encode(), name="learned policy"))
