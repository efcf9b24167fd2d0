"""One run of the gate over paths."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date

from meshwarden.adapters.manifests import Discovery, Package, Source, locate, parse_documents
from meshwarden.adapters.manifests import render as render_package
from meshwarden.adapters.rego import RuleSet
from meshwarden.adapters.rego.pool import LIMIT_S
from meshwarden.control.gate.access import Compare, access_findings
from meshwarden.control.gate.evaluate import Evaluator, Judged, is_about, selected
from meshwarden.kernel import InputError
from meshwarden.policy.gate.context import index
from meshwarden.policy.gate.frames import frame_of
from meshwarden.policy.gate.judge import Judge, expired
from meshwarden.policy.gate.kinds import BUILT_IN
from meshwarden.policy.gate.model import (
    Document,
    Family,
    GateFinding,
    Path,
    Problem,
    Report,
    Subject,
)
from meshwarden.policy.gate.settings import Settings
from meshwarden.policy.gate.subjects import subjects_of

MARKS = (b"apiVersion", b"kind", b"resource_changes", b"planned_values", b"services")


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """What a run is made with.

    Attributes:
        rules: what to judge by.
        settings: the configuration.
        baseline: fingerprints of old findings.
        today: waivers end by this day.
        limit_s: seconds that rules may take for one object.
        workers: processes at most; None for one each core.
        compare: what is asked of the one access policy in the input beside its errors and notices.
    """

    rules: RuleSet
    settings: Settings = field(default_factory=Settings)
    baseline: frozenset[str] = frozenset()
    today: date
    limit_s: float = LIMIT_S
    workers: int | None = None
    compare: Compare | None = None


@dataclass(slots=True)
class Input:
    """What was read: sources by name, subjects in order, and the rest.

    Attributes:
        sources: the bytes of each file that holds a manifest.
        subjects: what there is to judge.
        problems: what could not be read; never to be passed over.
        skipped: what was left out on purpose, one sentence each.
        ignored: files that are no manifests.
    """

    sources: dict[str, bytes] = field(default_factory=dict)
    subjects: list[Subject] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    ignored: int = 0


def judge_paths(gate: Gate, paths: Sequence[str]) -> Report:
    """Return the report on what lies under `paths` (`-`: standard input).

    Raises:
        ConfigError: `gate.compile`, `gate.unknown_rule`, `gate.double_rule`.
        InputError: `gate.compare` where not exactly one access policy is there to compare.
    """
    rules = selected(gate.rules, gate.settings)
    with Evaluator(rules, gate.settings, workers=gate.workers, limit_s=gate.limit_s) as evaluator:
        found = read_paths(paths)
        _require_one_policy(gate, found)
        world = index(found.subjects)
        judged = list(evaluator.judge(found.subjects, world))
    return _report(gate, rules, found, judged)


def _require_one_policy(gate: Gate, found: Input) -> None:
    count = sum(subject.family is Family.ACCESS_POLICY for subject in found.subjects)
    if gate.compare is not None and count != 1:
        raise InputError(
            "gate.compare",
            f"{count} access policies among what is judged, one is compared",
            where="--against, --calls",
            hint="name the file of the proposed policy",
        )


def read_paths(paths: Sequence[str]) -> Input:
    """Return what lies under `paths`, within the bounds of the readers (`adapters.manifests`)."""
    found = Input()
    for entry in Discovery().walk(paths):
        one = render_package(entry) if isinstance(entry, Package) else entry
        if isinstance(one, str):
            found.skipped.append(one)
        elif isinstance(one, Problem):
            found.problems.append(one)
        else:
            _parse(one, found)
    if found.ignored:
        found.skipped.append(f"{found.ignored} files without manifests were ignored")
    return found


def _parse(source: Source, found: Input) -> None:
    before = len(found.subjects), len(found.problems)
    for document in parse_documents(source.raw, source.name):
        for one in [document] if isinstance(document, Problem) else subjects_of(document):
            if isinstance(one, Subject):
                found.subjects.append(one)
            elif source.named or one.code != "gate.json" or _may_be_manifest(source.raw):
                found.problems.append(one)
    if (len(found.subjects), len(found.problems)) != before:
        found.sources[source.name] = source.raw
    elif source.named:
        text = "holds no manifest"
        hint = "Kubernetes YAML, a Terraform plan as JSON, a Compose file, or an access policy"
        found.problems.append(
            Problem(source=source.name, line=1, code="gate.no_manifest", message=text, hint=hint)
        )
    else:
        found.ignored += 1


def _may_be_manifest(raw: bytes) -> bool:
    """Return whether broken JSON may have been one; settings of other tools have comments."""
    return any(word in raw for word in MARKS)


def _report(gate: Gate, rules: RuleSet, found: Input, judged: Iterable[Judged]) -> Report:
    judge = Judge(
        rules={rule.id: rule for rule in rules.rules},
        settings=gate.settings,
        baseline=gate.baseline,
        today=gate.today,
    )
    findings = list(expired(gate.settings.waivers, gate.today))
    problems = list(found.problems)
    for subject, violations, failed in judged:
        findings += judge.findings(subject, violations, places)
        problems += failed
    for subject in found.subjects:
        if subject.family is Family.ACCESS_POLICY:
            found_here = access_findings(subject.document, gate.compare)
            findings += (judge.held_against_baseline(one) for one in found_here)
    secret = {rule.id for rule in rules.rules if rule.redact}
    findings.sort(key=lambda one: (one.source, one.line, one.column, one.rule, one.message))
    return Report(
        findings=tuple(_framed(findings, found.sources, secret)),
        problems=tuple(sorted(problems, key=lambda one: (one.source, one.line))),
        skipped=(*found.skipped, *_unjudged(rules, found.subjects)),
        judged=len(found.subjects),
        rules=rules.rules,
    )


def _unjudged(rules: RuleSet, subjects: Iterable[Subject]) -> list[str]:
    """Say which kinds of foreign groups no rule is about."""
    foreign = Counter(
        subject.kind
        for subject in subjects
        if subject.family is Family.KUBERNETES
        and subject.group not in BUILT_IN
        and not any(is_about(rule, subject.tags) for rule in rules.rules)
    )
    if not foreign:
        return []
    names = ", ".join(f"{kind} ({count})" for kind, count in sorted(foreign.items())[:20])
    return [f"no rule is about these kinds: {names}"]


def places(document: Document, paths: Iterable[Path]) -> dict[Path, tuple[int, int, int]]:
    """Return line, column and last line of each path in `document`."""
    places = locate(document, paths)
    return {path: (one.line, one.column, one.last_line) for path, one in places.items()}


def _framed(
    findings: Sequence[GateFinding], sources: Mapping[str, bytes], secret: set[str]
) -> Iterator[GateFinding]:
    """Yield the findings with the lines around them; what rules in `secret` point at is masked."""
    masked: dict[str, dict[int, int]] = defaultdict(dict)
    for one in findings:
        if one.rule in secret:
            masked[one.source] |= dict.fromkeys(range(one.line, one.last_line + 1), 1)
            masked[one.source][one.line] = one.column
    named = {one.source for one in findings}
    lines = {
        name: raw.decode(errors="replace").split("\n")
        for name, raw in sources.items()
        if name in named
    }
    for one in findings:
        text, hidden = lines.get(one.source, []), masked[one.source]
        yield replace(one, frame=frame_of(text, one.line, hidden, hidden))
