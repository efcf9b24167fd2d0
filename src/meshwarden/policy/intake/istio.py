"""Istio's objects into a draft."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Final

from meshwarden.policy.gate.model import Subject
from meshwarden.policy.intake.draft import Draft
from meshwarden.policy.intake.istio_rule import RuleReader
from meshwarden.policy.intake.part import Part, spec_of
from meshwarden.policy.intake.workloads import Workload
from meshwarden.policy.model import HOST, Egress, Rule
from meshwarden.policy.targets.manifest import IDENTITY, MANAGED_BY, MANAGER

ROOT: Final = "istio-system"
SECURITY: Final = "security.istio.io"


def read_istio(subjects: Iterable[Subject], draft: Draft) -> None:
    """Read AuthorizationPolicies, and note what else bears on who may call whom."""
    policies = [one for one in subjects if one.group == SECURITY]
    asked = list(_asked(one for one in policies if _action(one) == "CUSTOM"))
    for subject in policies:
        draft.objects += 1
        if subject.kind == "PeerAuthentication":
            _read_peer(subject, draft)
        elif subject.kind == "AuthorizationPolicy":
            _read_policy(subject, draft, asked)
    for subject in subjects:
        if subject.group == "networking.istio.io" and subject.kind == "ServiceEntry":
            draft.objects += 1
            _read_entry(subject, draft)


def _action(subject: Subject) -> str:
    return spec_of(subject).at("action").text() or "ALLOW"


def _asked(subjects: Iterable[Subject]) -> Iterator[tuple[str, object, object]]:
    """Yield what our own CUSTOM policies ask about: namespace, selector, operations."""
    for subject in subjects:
        if is_ours(subject):
            spec = spec_of(subject)
            for rule in spec.at("rules").each():
                yield subject.namespace, spec.at("selector").value, rule.at("to").value


def is_ours(subject: Subject) -> bool:
    """Return whether our compiler wrote the object."""
    labels = Part(subject, subject.value).at("metadata", "labels").labels()
    return labels.get(MANAGED_BY) == MANAGER


def _read_policy(subject: Subject, draft: Draft, asked: list[tuple[str, object, object]]) -> None:
    spec, action = spec_of(subject), _action(subject)
    callees = selected(subject, spec, draft)
    if action != "ALLOW":
        if action == "DENY":
            what = "what it denies is allowed where another rule allows it: there is no deny here"
            draft.leave_out(spec, what, wider=True)
        elif not (action == "CUSTOM" and is_ours(subject)):
            draft.leave_out(
                spec, f"action {action[:40]} has no place here", wider=action == "CUSTOM"
            )
        return
    for callee in callees:
        draft.callee(callee.identity)
    if spec.has("targetRef") or spec.has("targetRefs"):
        draft.leave_out(spec, "applies to a gateway or waypoint, not to a workload: left out")
        return
    for part in spec.at("rules").each():
        mine = (subject.namespace, spec.at("selector").value, part.at("to").value)
        for rule in RuleReader(part, draft).read():
            draft.add(callees, _once(rule) if mine in asked else rule)


def _once(rule: Rule) -> Rule:
    return rule if rule.token is None else replace(rule, token=replace(rule.token, once=True))


def selected(subject: Subject, spec: Part, draft: Draft) -> list[Workload]:
    """Return the workloads that an object applies to; without selector in the root, all."""
    selector = spec.at("selector", "matchLabels")
    if spec.at("selector").value not in ({}, None) and not selector.labels():
        draft.leave_out(spec.at("selector"), "is no selector by labels: left out")
        return []
    if subject.namespace == ROOT and not selector.labels():
        return list(draft.workloads.known.values())
    return draft.workloads.selected(subject.namespace or "default", selector)


def _read_peer(subject: Subject, draft: Draft) -> None:
    spec = spec_of(subject)
    for part in (spec.at("mtls", "mode"), *_port_modes(spec)):
        if part.text() in {"PERMISSIVE", "DISABLE"}:
            what = f"mutual TLS is {part.text()}: callers without identity are not shut out by it"
            draft.leave_out(part, what)


def _port_modes(spec: Part) -> Iterator[Part]:
    for port in spec.at("portLevelMtls").names():
        yield spec.at("portLevelMtls", str(port), "mode")


def _read_entry(subject: Subject, draft: Draft) -> None:
    """Read a host outside: of one service where our compiler wrote it, else of the namespace."""
    spec = spec_of(subject)
    identity = next(
        (w.identity for w in draft.workloads.known.values() if str(w.identity) == _noted(subject)),
        None,
    )
    spaces = [one.text() for one in spec.at("exportTo").each()]
    callers = [identity] if identity else [w.identity for w in draft.workloads.selected(
        subject.namespace or "default", Part(subject, {}))]  # fmt: skip
    if identity is None and spaces != ["."]:
        draft.leave_out(spec, "every namespace may use it: the text gives it to none")
        return
    for host in spec.at("hosts").each():
        for port in spec.at("ports").each():
            number = port.at("number").value
            if not HOST.fullmatch(host.text()) or not isinstance(number, int):
                draft.leave_out(host, f"{host.text()[:80]!r} is not one host and port: left out")
                continue
            for caller in callers:
                draft.add_egress(caller, Egress(host=host.text(), port=number))


def _noted(subject: Subject) -> str:
    notes = Part(subject, subject.value).at("metadata", "annotations").labels()
    return notes.get(IDENTITY, "")
