"""May it: access policy as code, the evaluator that defines it, and its compiled targets.

`parse_policy` turns a document into an `AccessPolicy` (`notices` lists what looks unwise in it);
`decide` answers one request or connection and `explain` says why; `targets/` compiles it for what
enforces it. `path` defines what a path means, everywhere. `reach/` compares policies and decides
fast, `traffic/` holds them against recorded calls, `intake/` reads what a cluster enforces already,
`edit` adds to a policy's text, `handed` says who may have been handed a transaction token.
"""

from meshwarden.policy.decide import decide
from meshwarden.policy.explain import explain
from meshwarden.policy.handed import handed_to
from meshwarden.policy.isolate import isolate
from meshwarden.policy.model import (
    AccessPolicy,
    Connection,
    Egress,
    HttpRequest,
    Rule,
    Service,
    TokenRequirement,
)
from meshwarden.policy.notices import Notice, notices
from meshwarden.policy.parse import parse_policy
from meshwarden.policy.path import PathPattern, normalize_path

__all__ = [
    "AccessPolicy",
    "Connection",
    "Egress",
    "HttpRequest",
    "Notice",
    "PathPattern",
    "Rule",
    "Service",
    "TokenRequirement",
    "decide",
    "explain",
    "handed_to",
    "isolate",
    "normalize_path",
    "notices",
    "parse_policy",
]
