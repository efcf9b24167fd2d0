"""The bank's access policy as the attacker of one attack finds it: with what somebody forgot."""

from pathlib import Path
from typing import Any, Final

import yaml

from meshwarden.adapters.yaml import parse_document
from meshwarden.kernel import ConfigError
from meshwarden.lab.attacks.model import Attack, Forgotten
from meshwarden.lab.mesh import ACCESS_POLICY
from meshwarden.policy import AccessPolicy, parse_policy

_NAME: Final = "access.yaml"


def render_policy(attack: Attack, path: Path = ACCESS_POLICY) -> str:
    """Return the text of the policy with the attacker's service in the rules that he needs.

    Raises:
        ConfigError: `lab.grant` where there is no such rule.
    """
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    for grant in attack.grants:
        _rule_of(document, grant)["from"].append(attack.service)
    return yaml.safe_dump(document, sort_keys=False, width=100)


def policy_found_by(attack: Attack) -> AccessPolicy:
    """Return the policy that `render_policy` writes."""
    return parse_policy(parse_document(render_policy(attack).encode(), name=_NAME))


def _rule_of(document: dict[str, Any], grant: Forgotten) -> dict[str, Any]:
    rules: list[dict[str, Any]] = document["services"][grant.service]["accepts"]
    for rule in rules:
        if grant.method in rule.get("methods", ()) and grant.path in rule.get("paths", ()):
            return rule
    raise ConfigError("lab.grant", f"no rule of {grant.service} opens {grant.path}")
