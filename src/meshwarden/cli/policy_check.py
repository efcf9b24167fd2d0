"""`meshwarden policy check`: whether a policy can be meant, and what is unwise in it."""

from dataclasses import asdict
from pathlib import Path

from meshwarden.cli.policy_shared import Json, load_policy, print_json
from meshwarden.policy import notices


def check(file: Path, *, json: Json = False) -> int:
    """Check a policy file; print what looks unwise in it. Exit 2 where it is wrong.

    Args:
        file: the policy.
        json: print one JSON object.
    """
    policy = load_policy(file)
    found = notices(policy)
    rules = sum(len(service.accepts) for service in policy.services.values())
    if json:
        warnings = [asdict(notice) for notice in found]
        print_json({"services": len(policy.services), "rules": rules, "warnings": warnings})
        return 0
    for notice in found:
        print(f"{notice.where}: warning: {notice.message} [{notice.code}]")
    print(f"{file}: {len(policy.services)} services, {rules} rules; warnings: {len(found)}")
    return 0
