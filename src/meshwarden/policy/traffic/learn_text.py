"""What was learned as YAML that a reviewer wants to read: sorted, small, each rule explained."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

from meshwarden.kernel import SpiffeId
from meshwarden.policy.edit import quoted
from meshwarden.policy.parse import API_VERSION, SERVICE_NAME
from meshwarden.policy.traffic.learned import (
    Learned,
    LearnedHost,
    LearnedRule,
    LearnedService,
)
from meshwarden.policy.traffic.observed import Support

MARK: Final = "# learned:"
_WIDTH: Final = 100
_SURE: Final = (100, 7)  # calls, days: more than a week's rhythm
_FAIRLY: Final = (20, 2)


def name_services(
    identities: Iterable[SpiffeId], known: Mapping[SpiffeId, str]
) -> dict[SpiffeId, str]:
    """Return a name for each identity: the known one, else the end of its path, made unique."""
    names = dict(known)
    taken = set(known.values())
    for identity in sorted(identities):
        if identity in names:
            continue
        parts = [
            part.lower().replace("_", "-").replace(".", "-") for part in identity.path.split("/")
        ]
        name = parts[-1][:50].strip("-")
        if name in taken or not SERVICE_NAME.fullmatch(name):
            name = f"{parts[-3]}-{name}"[:50].strip("-") if len(parts) > 3 else f"service-{name}"
        stem, number = name if SERVICE_NAME.fullmatch(name) else "service", 1
        while (name if number == 1 else f"{stem}-{number}") in taken or not SERVICE_NAME.fullmatch(
            name
        ):
            number += 1
            name = f"{stem}-{number}"
        names[identity] = name
        taken.add(name)
    return names


def render_learned(learned: Learned, names: Mapping[SpiffeId, str]) -> str:
    """Return a whole policy document."""
    share = f"{learned.unseen_share:.2%}"
    lines = [
        f"# The least policy that allows {support_text(learned.support)}.",
        f"# About {share} of further calls do something that was not seen (Good-Turing estimate).",
        "# Review it: what was never called is not allowed; what was called is, wise or not.",
        f"apiVersion: {API_VERSION}",
        f"trust_domain: {learned.trust_domain}",
        "services:",
    ]
    for identity, service in sorted(learned.services.items(), key=lambda item: names[item[0]]):
        lines += [f"  {line}".rstrip() for line in service_lines(service, names[identity], names)]
    return "\n".join(lines) + "\n"


def service_lines(service: LearnedService, name: str, names: Mapping[SpiffeId, str]) -> list[str]:
    """Return one service as a block, without indentation of its own."""
    lines = [f"{name}:", f"  identity: {service.identity}"]
    lines += ["  edge: true # calls from outside the mesh were seen"] if service.edge else []
    if service.rules:
        lines.append("  accepts:")
        for rule in service.rules:
            lines += [f"    {line}" for line in rule_lines(rule, names)]
    if service.egress:
        lines.append("  egress:")
        for host in service.egress:
            lines += [f"    {line}" for line in host_lines(host)]
    return lines


def rule_lines(rule: LearnedRule, names: Mapping[SpiffeId, str]) -> list[str]:
    """Return one entry of `accepts`, its evidence above it."""
    sources = ", ".join(names.get(source, f'"{source}"') for source in rule.sources)
    comment = f"{MARK} {support_text(rule.support)}; {sureness(rule.support)}"
    if rule.tcp is not None:
        return [comment, f"- {{from: [{sources}], tcp: {rule.tcp}}}"]
    paths = [quoted(pattern.text) for pattern in rule.paths]
    flow = f"  paths: [{', '.join(paths)}]"
    listed = [flow] if len(flow) < _WIDTH - 4 else ["  paths:", *(f"    - {p}" for p in paths)]
    return [
        comment,
        f"- from: [{sources}]",
        f"  methods: [{', '.join(quoted(method) for method in rule.methods)}]",
        *listed,
    ]


def host_lines(host: LearnedHost) -> list[str]:
    """Return one entry of `egress`, its evidence above it."""
    assumed = "; the port was not recorded: 443 is assumed" if host.assumed else ""
    comment = f"{MARK} {support_text(host.support)}; {sureness(host.support)}{assumed}"
    return [comment, f"- {{host: {quoted(host.host)}, port: {host.port}}}"]


def support_text(support: Support) -> str:
    """Return how many calls there were, on how many days, from when to when."""
    days = len(support.days)
    first, last = day_text(support.first), day_text(support.last)
    span = first if first == last else f"{first} to {last}"
    count = f"{support.count} call{'s' * (support.count != 1)}"
    return f"{count} on {days} day{'s' * (days != 1)}, {span}"


def sureness(support: Support) -> str:
    """Return how far the evidence carries, in words."""
    for (calls, days), word in ((_SURE, "sure"), (_FAIRLY, "fairly sure")):
        if support.count >= calls and len(support.days) >= days:
            return word
    if support.count >= _FAIRLY[0]:
        return "seen on one day only"
    return "unsure, few calls: look at it"


def day_text(time_ns: int) -> str:
    """Return the day of a time.

    >>> day_text(1_700_000_000_000_000_000)
    '2023-11-14'
    """
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    return (epoch + timedelta(seconds=time_ns // 1_000_000_000)).date().isoformat()
