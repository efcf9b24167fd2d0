"""`meshwarden policy unused`: grants that no call used, and the tighter rules."""

from pathlib import Path
from typing import Any

from meshwarden.cli.policy_shared import (
    Calls,
    Json,
    load_policy,
    print_json,
    say_rejected,
    usage_error,
)
from meshwarden.control.traffic import read_period, read_traffic
from meshwarden.policy import AccessPolicy
from meshwarden.policy.traffic import Traffic
from meshwarden.policy.traffic.observed import DAY_NS
from meshwarden.policy.traffic.render import moment
from meshwarden.policy.traffic.unused import Loose, Unused, find_unused, rule_text


def unused(file: Path, *, calls: Calls, days: int = 30, json: Json = False) -> int:
    """List grants, methods and paths that no call used, and propose the tighter rule.

    The days are counted back from the newest recorded call. Exit 0 where all is used, 1 where
    something is not.

    Args:
        file: the policy.
        calls: recorded calls: Parquet, CSV, gzipped CSV, or a folder of parts; may be repeated.
        days: look at so many days of calls.
        json: print one JSON object.
    """
    if not 1 <= days <= 36_500:
        raise usage_error("--days", "from 1 to 36500")
    policy = load_policy(file)
    period = read_period(calls)
    since = None if period is None else period.last - days * DAY_NS
    read = read_traffic(calls, Traffic(since=since))
    say_rejected(read.rejected)
    read.require_calls()
    traffic = read.traffic
    found = find_unused(policy, traffic.observed())
    covered = (traffic.last - traffic.first) / DAY_NS if traffic.calls else 0.0
    if json:
        print_json(_object(policy, found) | {"calls": traffic.calls, "days_covered": covered})
        return 1 if found else 0
    if traffic.calls:
        span = f"{moment(traffic.first)} to {moment(traffic.last)}"
        print(f"{traffic.calls} calls, {span} ({covered:.1f} days)")
    if covered < days - 1:
        print(f"note: the record covers {covered:.1f} of {days} days; what is rare may be missing")
    print("\n".join(_lines(policy, found)) or "all that the policy grants was used")
    return 1 if found else 0


def _lines(policy: AccessPolicy, found: Unused) -> list[str]:
    lines: list[str] = []
    for loose in found.loose:
        lines.append(f"{loose.rule.where}: {loose.rule.name}: {_what(policy, loose)}")
        if loose.proposal is not None:
            lines += [f"    {line}" for line in rule_text(loose.proposal, policy).splitlines()]
    for service, egress in found.hosts:
        where = policy.services[service].where
        lines.append(f"{where}: {service}.egress: {egress.host}:{egress.port} was never reached")
    return lines


def _what(policy: AccessPolicy, loose: Loose) -> str:
    if loose.proposal is None:
        return "never used; it can go"
    parts = []
    if loose.callers:
        parts.append(f"never called by {', '.join(map(policy.name_of, loose.callers))}")
    for kind, unused_ones in (("method", loose.methods), ("path", loose.paths)):
        if unused_ones == ("any",):
            parts.append(f"allows any {kind}")
        elif unused_ones:
            parts.append(f"{kind}s never used: {', '.join(unused_ones)}")
    parts += [f"{wide} is wider than {', '.join(narrow)}" for wide, narrow in loose.wider]
    return f"{'; '.join(parts)} ({loose.calls} calls); tighter:"


def _object(policy: AccessPolicy, found: Unused) -> dict[str, Any]:
    return {
        "rules": [
            {
                "rule": loose.rule.name,
                "where": loose.rule.where,
                "calls": loose.calls,
                "callers": [policy.name_of(source) for source in loose.callers],
                "methods": loose.methods,
                "paths": loose.paths,
                "wider": dict(loose.wider),
                "proposal": loose.proposal and rule_text(loose.proposal, policy),
            }
            for loose in found.loose
        ],
        "egress": [
            {"service": service, "host": egress.host, "port": egress.port}
            for service, egress in found.hosts
        ],
    }
