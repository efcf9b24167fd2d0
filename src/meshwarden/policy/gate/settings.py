"""The gate's configuration: lists that rules consult, waivers, severities, admission.

A waiver names a rule, where it holds (object, file or both, with `*`), who answers for it, why, and
until when. One that has ended waives nothing and is itself a critical finding.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Any, Final

from meshwarden.kernel import Node
from meshwarden.kernel.document import Fields
from meshwarden.kernel.finding import Severity

API_VERSION: Final = "meshwarden.dev/v1"
LISTS: Final = ("allowed_hosts", "internal_domains", "payment_gateways", "registries")
MIN_REASON: Final = 8
"""Characters: a reason that says less ("ok", "todo") says nothing."""

_NAME = re.compile(r"(\*\.)?[A-Za-z0-9_]([A-Za-z0-9_./:-]*[A-Za-z0-9_])?/?")


class Mode(StrEnum):
    """What admission does with findings of a namespace."""

    ENFORCE = "enforce"
    WARN = "warn"
    EXEMPT = "exempt"


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiver:
    """An exception that someone answers for; `expires` is the last day on which it holds."""

    rule: str
    object: str = "*"
    file: str = "*"
    owner: str
    reason: str
    expires: date
    where: str

    def covers(self, rule: str, obj: str, source: str) -> bool:
        """Return whether it is about this rule, object and file."""
        names = {rule, rule.rpartition("/")[2]}
        return (
            self.rule in names
            and fnmatchcase(obj, self.object)
            and (self.file == "*" or fnmatchcase(source, self.file))
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """How the webhook decides: the mode of each namespace, and of all others.

    Attributes:
        default: mode of namespaces that are not listed.
        namespaces: mode by namespace.
        fail_on: findings from this severity up refuse an object, in enforced namespaces.
    """

    default: Mode = Mode.WARN
    namespaces: Mapping[str, Mode] = field(default_factory=dict)
    fail_on: Severity = Severity.HIGH


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The configuration; every part has a default.

    Attributes:
        lists: what rules read as `data.settings`.
        severities: overrides by rule.
        disabled: rules that are not applied.
        waivers: exceptions.
        inline_waivers: whether annotations in manifests may waive.
        admission: for the webhook.
        where: the file, for findings about it.
    """

    lists: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    severities: Mapping[str, Severity] = field(default_factory=dict)
    disabled: frozenset[str] = frozenset()
    waivers: tuple[Waiver, ...] = ()
    inline_waivers: bool = True
    admission: Admission = field(default_factory=Admission)
    where: str = ""

    def data(self) -> dict[str, Any]:
        """Return the data document that rules are compiled with."""
        return {"settings": {name: list(self.lists.get(name, ())) for name in LISTS}}


def parse_settings(document: Node) -> Settings:
    """Return the configuration in `document`; InputError at the first line that is wrong."""
    top = document.fields(
        required=["apiVersion"],
        optional=[*LISTS, "rules", "waivers", "inline_waivers", "admission"],
    )
    if top["apiVersion"].value != API_VERSION:
        top["apiVersion"].refuse("gate.version", "not a known version", hint=f"write {API_VERSION}")
    rules, inline, waivers = top.get("rules"), top.get("inline_waivers"), top.get("waivers")
    disabled, severities = _parse_rules(rules) if rules else (frozenset[str](), {})
    admission = top.get("admission")
    return Settings(
        lists={name: _parse_names(node) for name in LISTS if (node := top.get(name)) is not None},
        severities=severities,
        disabled=disabled,
        waivers=tuple(map(_parse_waiver, waivers.items())) if waivers else (),
        inline_waivers=inline.boolean() if inline else True,
        admission=_parse_admission(admission) if admission else Admission(),
        where=document.where,
    )


def _parse_names(node: Node) -> tuple[str, ...]:
    for item in node.items():
        if "://" in item.text() or not _NAME.fullmatch(item.text()):
            item.refuse(
                "gate.host",
                f"{item.text()[:80]!r} is no host",
                hint="a name, or *.name for all below it; no scheme, no bare *",
            )
    return tuple(node.texts())


def _parse_rules(node: Node) -> tuple[frozenset[str], dict[str, Severity]]:
    fields = node.fields(optional=["disabled", "severity"])
    disabled, severity = fields.get("disabled"), fields.get("severity")
    return (
        frozenset(disabled.texts()) if disabled else frozenset(),
        {name: parse_severity(one) for name, one in severity.mapping().items()} if severity else {},
    )


def parse_severity(node: Node) -> Severity:
    """Return a severity; InputError `gate.severity` where the text is none."""
    if node.text() not in set(Severity):
        node.refuse("gate.severity", f"{node.text()!r} is no severity", hint=" | ".join(Severity))
    return Severity(node.text())


def _parse_waiver(node: Node) -> Waiver:
    fields = node.fields(
        required=["rule", "owner", "reason", "expires"], optional=["object", "file"]
    )
    if len(fields["reason"].text().strip()) < MIN_REASON:
        fields["reason"].refuse("gate.reason", "the reason says too little", hint="say why")
    obj, file = fields.get("object"), fields.get("file")
    if obj is None and file is None:
        node.refuse("gate.waiver", "the waiver names neither object nor file", hint="narrow it")
    return Waiver(
        rule=fields["rule"].text(),
        object=obj.text() if obj else "*",
        file=file.text() if file else "*",
        owner=fields["owner"].text(),
        reason=fields["reason"].text(),
        expires=_parse_date(fields["expires"]),
        where=node.where,
    )


def _parse_date(node: Node) -> date:
    try:
        return date.fromisoformat(node.text())
    except ValueError:
        node.refuse("gate.date", f"{node.text()[:40]!r} is no date", hint="YYYY-MM-DD")


def _parse_admission(node: Node) -> Admission:
    fields: Fields = node.fields(optional=["default", "namespaces", "fail_on"])
    default, spaces, fail_on = (
        fields.get("default"),
        fields.get("namespaces"),
        fields.get("fail_on"),
    )
    return Admission(
        default=_parse_mode(default) if default else Mode.WARN,
        namespaces={name: _parse_mode(one) for name, one in spaces.mapping().items()}
        if spaces
        else {},
        fail_on=parse_severity(fail_on) if fail_on else Severity.HIGH,
    )


def _parse_mode(node: Node) -> Mode:
    if node.text() not in set(Mode):
        node.refuse("gate.mode", f"{node.text()!r} is no mode", hint=" | ".join(Mode))
    return Mode(node.text())
