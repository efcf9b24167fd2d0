"""What the gate judges, by what, and what comes out: plain facts, nothing that does I/O."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from meshwarden.kernel.finding import Severity

Path = tuple[str | int, ...]
"""Keys and indices that lead from the top of a document to a value."""

CONTEXT = "meshwarden.dev/context"
"""Key of a rule's input under which stands what the rest of the input says about the object."""


class Family(StrEnum):
    """Sorts of document that the gate knows."""

    KUBERNETES = "kubernetes"
    COMPOSE = "compose"
    TERRAFORM = "terraform"
    ACCESS_POLICY = "access-policy"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule: what it is about, and what a person needs to act on it.

    Attributes:
        id: `pack/name`.
        entrypoint: path of its `deny` set (`meshwarden/workload/privileged/deny`).
        title: one line.
        severity: of its violations, unless a violation states a lower or higher one.
        kinds: Kubernetes kinds, or `workload` (whatever brings pods), `compose`, `terraform`, `*`.
        fix: one line: what to do.
        controls: what it supports (`PCI DSS 4.0.1 4.2.1`).
        page: why, how to fix, false positives; Markdown.
        needs: what must stand in an object, written as lines `path.to.key=value`, for the rule to
            have anything to say; None where absence alone may break it. Saves the engine's time.
        redact: whether the value that it points at must not be shown.
        where: the file that it stands in.
    """

    id: str
    entrypoint: str
    title: str
    severity: Severity
    kinds: frozenset[str]
    fix: str = ""
    controls: tuple[str, ...] = ()
    page: str = ""
    needs: re.Pattern[str] | None = None
    redact: bool = False
    where: str = ""

    @property
    def pack(self) -> str:
        """The folder of rules that it belongs to."""
        return self.id.partition("/")[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """One YAML or JSON document: where it stands, and its value as plain Python."""

    source: str
    line: int
    raw: bytes
    value: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """One thing to judge: a Kubernetes object, a Compose file, a resource of a Terraform plan.

    Attributes:
        document: the document that it stands in.
        prefix: the path in the document that leads to `value` (items of a List).
        family: its sort.
        kind: Kubernetes kind, type of the resource, or "".
        group: API group ("" for core), or "".
        namespace: as written; "" where none is.
        name: of the object, the resource's address, or the file's name.
        tags: what rules' `kinds` are compared with.
        value: the rules' input, without the context.
        item: for a Terraform plan, the index in `resource_changes` that `value` holds alone.
    """

    document: Document
    prefix: Path = ()
    family: Family
    kind: str = ""
    group: str = ""
    namespace: str = ""
    name: str = ""
    tags: frozenset[str]
    value: Mapping[str, Any]
    item: int | None = None

    @property
    def object(self) -> str:
        """`Kind/namespace/name`, as waivers and baselines name it."""
        return "/".join(part for part in (self.kind, self.namespace, self.name) if part)

    def path_in_document(self, path: Path) -> Path:
        """Return where `path` of the rules' input lies in the document."""
        if self.item is not None and path[:2] == ("resource_changes", 0):
            path = ("resource_changes", self.item, *path[2:])
        return self.prefix + path


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """What one rule says about one subject."""

    rule: str
    message: str
    path: Path = ()
    severity: Severity | None = None


class Suppression(StrEnum):
    """Why a finding does not count."""

    WAIVED = "waived"
    INLINE = "waived in the manifest"
    BASELINE = "in the baseline"


@dataclass(frozen=True, slots=True, kw_only=True)
class GateFinding:
    """A violation at its place.

    Attributes:
        rule: `pack/name`, or the code of an access policy's error or notice.
        severity: after the configuration's overrides.
        message: one sentence.
        fix: what to do.
        source: the file, `-` for stdin.
        line, column: of the offending key, from 1.
        last_line: of the key's value.
        object: `Kind/namespace/name`.
        path: dotted path of the offending key.
        fingerprint: stable under moves of lines; 32 hex digits.
        controls: as the rule's.
        suppressed: why it does not count, or None.
        reason: of the suppression.
        frame: numbered lines around the place, secrets masked.
    """

    rule: str
    severity: Severity
    message: str
    source: str
    line: int
    column: int = 1
    last_line: int = 0
    fix: str = ""
    object: str = ""
    path: str = ""
    fingerprint: str = ""
    controls: tuple[str, ...] = ()
    suppressed: Suppression | None = None
    reason: str = ""
    frame: tuple[tuple[int, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Something that could not be judged, and so is never passed in silence."""

    source: str
    line: int
    code: str
    message: str
    hint: str = ""

    @property
    def where(self) -> str:
        """`file:line`."""
        return f"{self.source}:{self.line}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The outcome of one run.

    Attributes:
        findings: in the order of source, line, rule; suppressed ones included.
        problems: what could not be judged.
        skipped: what was left out on purpose, one sentence each.
        judged: how many objects were judged.
        rules: the rules that were applied.
    """

    findings: tuple[GateFinding, ...] = ()
    problems: tuple[Problem, ...] = ()
    skipped: tuple[str, ...] = ()
    judged: int = 0
    rules: tuple[Rule, ...] = field(default=())

    @property
    def counted(self) -> tuple[GateFinding, ...]:
        """Findings that are not suppressed."""
        return tuple(finding for finding in self.findings if finding.suppressed is None)


ORDER = {severity: rank for rank, severity in enumerate(Severity)}


def exit_code(report: Report, fail_on: Severity) -> int:
    """Return 2 where something could not be judged, 1 with findings from `fail_on` up, else 0."""
    if report.problems or not report.judged:
        return 2
    return int(any(ORDER[one.severity] >= ORDER[fail_on] for one in report.counted))
