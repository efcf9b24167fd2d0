"""The smallest change of a policy that would allow what it refuses.

One condition away from a rule: that rule's list gets one entry; of several such rules the one that
opens least beside what was asked. Further away, or where the entry would open any method or any
path: a new rule that allows exactly what was asked.
"""

from dataclasses import dataclass

from meshwarden.policy.match import Claims, Miss, misses
from meshwarden.policy.model import (
    AccessPolicy,
    Connection,
    HttpRequest,
    Rule,
    Service,
    TokenRequirement,
    is_method,
)
from meshwarden.policy.path import MAX_PATTERN_LENGTH, PathPattern, normalize_path

_ANY_WEIGHT = 1000  # an open condition opens more than any list that someone writes by hand
_WILDCARD_WEIGHT = 10
_EDITS = (Miss.SOURCE, Miss.METHOD, Miss.PATH, Miss.TOKEN)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fix:
    """One change of a policy, in words and as an edit.

    Attributes:
        sentence: what to change.
        field: the list that gets `entry` (`from`, `methods`, `paths` of `rule`; `accepts` of the
            callee); None where the policy stays, and the caller has to bring a token.
        entry: as YAML.
        rule: the rule that is edited; None for `accepts`.
    """

    sentence: str
    field: str | None = None
    entry: str = ""
    rule: Rule | None = None


def suggest_fix(
    policy: AccessPolicy,
    callee: Service,
    asked: HttpRequest | Connection,
    claims: Claims | None = None,
) -> str | None:
    """Return one sentence that says what to change; None where no policy could be written for it.

    `asked` is refused, and its path is clean.
    """
    fix = plan_fix(policy, callee, asked, claims)
    return None if fix is None else fix.sentence


def plan_fix(
    policy: AccessPolicy,
    callee: Service,
    asked: HttpRequest | Connection,
    claims: Claims | None = None,
) -> Fix | None:
    """Return the smallest change; arguments and None as for `suggest_fix`."""
    if isinstance(asked, HttpRequest) and not _can_be_written(asked):
        return None
    nearest = nearest_rule(callee, asked, claims)
    if nearest is not None:
        rule, missed = nearest
        miss = next(iter(missed))
        if len(missed) == 1 and miss in _EDITS and not _opens_any(rule, miss):
            return _edit(policy, rule, miss, asked)
    return minimal_fix(policy, callee, asked)


def minimal_fix(policy: AccessPolicy, callee: Service, asked: HttpRequest | Connection) -> Fix:
    """Return the rule that allows exactly what was asked."""
    entry = _minimal_rule(policy, asked)
    return Fix(sentence=f"add {entry} to {callee.name}.accepts", field="accepts", entry=entry)


def nearest_rule(
    callee: Service, asked: HttpRequest | Connection, claims: Claims | None = None
) -> tuple[Rule, frozenset[Miss]] | None:
    """Return the rule that misses `asked` by least, and what it misses; None without rules."""
    candidates = [
        (len(missed), _weight(rule, missed), rule, missed)
        for rule in callee.accepts
        if Miss.KIND not in (missed := misses(rule, asked, claims))
    ]
    if not candidates:
        return None
    _, _, rule, missed = min(candidates, key=lambda candidate: candidate[:2])
    return rule, missed


def _can_be_written(asked: HttpRequest) -> bool:
    return is_method(asked.method) and len(_pattern_text(asked.path)) <= MAX_PATTERN_LENGTH


def _opens_any(rule: Rule, miss: Miss) -> bool:
    """Return whether one more entry would open any method or any path to someone."""
    if rule.tcp is not None or miss is Miss.TOKEN:
        return False
    return (rule.methods is None and miss is not Miss.METHOD) or (
        rule.paths is None and miss is not Miss.PATH
    )


def _weight(rule: Rule, missed: frozenset[Miss]) -> int:
    """Return about how many requests the change of one list would open."""
    weight = 1
    if Miss.SOURCE not in missed:
        weight *= len(rule.sources)
    if Miss.METHOD not in missed and rule.tcp is None:
        weight *= _ANY_WEIGHT if rule.methods is None else len(rule.methods)
    if Miss.PATH not in missed and rule.tcp is None:
        patterns = rule.paths
        weight *= _ANY_WEIGHT if patterns is None else sum(_reach(pattern) for pattern in patterns)
    return weight


def _reach(pattern: PathPattern) -> int:
    wildcards = pattern.segments.count(None) + (2 if pattern.rest else 0)
    return int(_WILDCARD_WEIGHT**wildcards)


def _edit(policy: AccessPolicy, rule: Rule, miss: Miss, asked: HttpRequest | Connection) -> Fix:
    if miss is Miss.SOURCE:
        name = policy.name_of(asked.source)
        return Fix(
            sentence=f"add {name!r} to {rule.name}.from", field="from", entry=name, rule=rule
        )
    if miss is Miss.TOKEN or isinstance(asked, Connection):
        wanted = _token_text(rule.token or TokenRequirement())
        return Fix(sentence=f"present {wanted} ({rule.name}.token)", rule=rule)
    entry = asked.method if miss is Miss.METHOD else _pattern_text(asked.path)
    return Fix(
        sentence=f"add {entry} to {rule.name}.{miss.value}",
        field=miss.value,
        entry=entry,
        rule=rule,
    )


def _token_text(token: TokenRequirement) -> str:
    wanted = [f"scope {scope}" for scope in token.scopes]
    wanted += [f"acr {token.acr}"] if token.acr is not None else []
    wanted += ["req_wl equal to the caller"] if token.bound else []
    return "a transaction token" + (f" with {', '.join(wanted)}" if wanted else "")


def _minimal_rule(policy: AccessPolicy, asked: HttpRequest | Connection) -> str:
    caller = policy.name_of(asked.source)
    if isinstance(asked, Connection):
        return f"{{from: [{caller}], tcp: {asked.port}}}"
    return (
        f'{{from: [{caller}], methods: [{asked.method}], paths: ["{_pattern_text(asked.path)}"]}}'
    )


def _pattern_text(raw_path: str) -> str:
    """Return a pattern for a clean path; a segment that no literal can spell becomes `{value}`."""
    segments = (normalize_path(raw_path) or "/")[1:].split("/")
    return "/" + "/".join(
        "{value}" if "%" in segment or set(segment) & set("*[]") else segment
        for segment in segments
    )
