"""A draft as the text of an access policy, its services sorted by name."""

from collections.abc import Iterable, Mapping, Sequence

from meshwarden.kernel import SpiffeId
from meshwarden.policy.edit import quoted
from meshwarden.policy.intake.draft import Draft
from meshwarden.policy.model import Egress, Rule, TokenRequirement
from meshwarden.policy.parse import API_VERSION
from meshwarden.policy.traffic.learn_text import name_services


def render_draft(draft: Draft, *, title: str) -> str:
    """Return the policy; callers of its trust domain are services of it, too."""
    domain = draft.workloads.trust_domain
    callers = {s for rules in draft.rules.values() for rule in rules for s in rule.sources}
    identities = {*draft.rules, *draft.egress, *callers}
    own = sorted(one for one in identities if one.trust_domain == domain)
    known = {one: name for one, name in draft.workloads.names().items() if one in own}
    names = name_services(own, known)
    lines = [
        f"# {title}",
        "# Review it: what could not be represented was listed when it was read.",
        f"apiVersion: {API_VERSION}",
        f"trust_domain: {domain}",
        "services:",
    ]
    for identity in sorted(own, key=lambda one: names[one]):
        guessed = identity in draft.workloads.guessed
        lines += [f"  {names[identity]}:"]
        lines += ["    # the identity is a guess, from the label that selects its pods"] * guessed
        lines += [f"    identity: {identity}"]
        lines += _section("accepts", draft.rules.get(identity, ()), names)
        lines += _egress(draft.egress.get(identity, ()))
    return "\n".join(lines) + "\n"


def _section(name: str, rules: Sequence[Rule], names: Mapping[SpiffeId, str]) -> list[str]:
    if not rules:
        return []
    return [f"    {name}:", *(f"      {line}" for rule in rules for line in _rule(rule, names))]


def _rule(rule: Rule, names: Mapping[SpiffeId, str]) -> list[str]:
    sources = _flow(names.get(source, str(source)) for source in rule.sources)
    if rule.tcp is not None:
        return [f"- {{from: {sources}, tcp: {rule.tcp}}}"]
    lines = [f"- from: {sources}"]
    if rule.methods is not None:
        lines.append(f"  methods: {_flow(sorted(rule.methods))}")
    if rule.paths is not None:
        lines.append(f"  paths: {_flow(pattern.text for pattern in rule.paths)}")
    if rule.token is not None:
        lines.append(f"  token: {_token(rule.token)}")
    return lines


def _token(token: TokenRequirement) -> str:
    parts = [f"scopes: {_flow(token.scopes)}"] if token.scopes else []
    parts += [f"acr: {quoted(token.acr)}"] if token.acr is not None else []
    parts += ["bound: true"] if token.bound else []
    parts += ["once: true"] if token.once else []
    return "{" + ", ".join(parts) + "}"


def _egress(hosts: Sequence[Egress]) -> list[str]:
    lines = [f"      - {{host: {quoted(one.host)}, port: {one.port}}}" for one in hosts]
    return ["    egress:", *lines] if lines else []


def _flow(texts: Iterable[str]) -> str:
    return "[" + ", ".join(quoted(text) for text in texts) + "]"
