"""Why: the rule that decided, or the nearest rule, what it misses, and the smallest change."""

from meshwarden.policy.decide import decide
from meshwarden.policy.fix import nearest_rule
from meshwarden.policy.match import Claims, Miss
from meshwarden.policy.model import AccessPolicy, Connection, HttpRequest, Rule
from meshwarden.policy.path import normalize_path


def explain(
    policy: AccessPolicy, asked: HttpRequest | Connection, claims: Claims | None = None
) -> tuple[str, ...]:
    """Return the lines that explain to a person what `decide` answers, most important first."""
    decision = decide(policy, asked, claims)
    lines = [f"{'allowed' if decision.allowed else 'refused'}: {_asked_text(policy, asked)}"]
    callee = policy.service_with(asked.destination)
    rules = {rule.name: rule for rule in callee.accepts} if callee else {}
    if decision.rule is not None:
        return (*lines, f"by: {_rule_text(policy, rules[decision.rule])}")
    lines.append(f"why: {decision.reason}")
    nearest = nearest_rule(callee, asked, claims) if callee and decision.fix else None
    if nearest is not None:
        rule, missed = nearest
        lines.append(f"nearest: {_rule_text(policy, rule)}")
        lines.append(f"it misses: {', '.join(miss for miss in Miss if miss in missed)}")
    if decision.fix is not None:
        lines.append(f"to allow it: {decision.fix}")
    return tuple(lines)


def _asked_text(policy: AccessPolicy, asked: HttpRequest | Connection) -> str:
    between = f"{policy.name_of(asked.source)} to {policy.name_of(asked.destination)}"
    if isinstance(asked, Connection):
        return f"{between}, connection to port {asked.port}"
    path = normalize_path(asked.path)
    as_sent = {None, asked.path.partition("?")[0]}
    hidden = "{}" in asked.path  # a recorded route: what it stands for was not sent like this
    read_as = "" if path in as_sent or hidden else f" (read as {path})"
    return f"{between}, {asked.method} {asked.path}{read_as}"


def _rule_text(policy: AccessPolicy, rule: Rule) -> str:
    callers = ", ".join(policy.name_of(source) for source in rule.sources)
    place = f"{rule.name} at {rule.where}: from {callers}"
    if rule.tcp is not None:
        return f"{place}; tcp {rule.tcp}"
    methods = ", ".join(sorted(rule.methods)) if rule.methods is not None else "any method"
    paths = ", ".join(path.text for path in rule.paths) if rule.paths is not None else "any path"
    return f"{place}; {methods}; {paths}{'; with a token' if rule.token else ''}"
