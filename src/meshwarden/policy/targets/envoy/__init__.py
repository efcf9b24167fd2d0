"""Compiles what one service accepts into Envoy's RBAC filters, as matcher trees.

| module | holds |
|---|---|
| `filters` | the HTTP and network filters of a service, and what they cannot enforce |
| `tree` | methods, then literal paths, then templates: the way to a leaf |
| `leaf` | callers, and what their tokens must say |
| `patterns` | path patterns as keys and as regular expressions |
| `token_conditions` | what a rule asks of a token |
| `token_metadata` | where the filter before it has to put a verified token: the contract |
| `token_headers` | the same for our own sidecars: cheaper, and with more to keep to |
| `messages` | Envoy's messages that the others are built from |
| `render` | messages as JSON |

The HTTP filter's tree is an exact map on the method, an exact map on the path (literal paths are
clean by construction), and for what it does not hold a prefix map with one regular expression for
each template, which admits clean paths alone; the leaves are exact maps on the caller's SPIFFE ID.
So a request costs three to five look-ups, whatever the number of rules. Where a level does not
match, Envoy goes on with its `on_no_match`: rules for any path, then rules for any method, then a
refusal that says so where the path is not clean. The network filter is one exact map on the caller.

What the filters rely on, in the listener that carries them: mutual TLS that verifies the caller
(the SPIFFE ID is that of the verified certificate); for HTTP also `normalize_path`, `merge_slashes`
and `path_with_escaped_slashes_action: REJECT_REQUEST` in the HTTP connection manager; for rules
with `token` what `token_metadata` says.

An access log shows the rule that decided: `%DYNAMIC_METADATA(envoy.filters.http.rbac:
enforced_effective_policy_id)%` (the rule's name, `unclean_path`, or nothing where no rule matched;
`enforced_engine_result` is `allowed` or `denied`); for connections
`%DYNAMIC_METADATA(envoy.filters.network.rbac:shadow_effective_policy_id)%`.
"""

from meshwarden.policy.targets.envoy.filters import (
    TARGET,
    compile_filters,
    compile_http_filter,
    compile_network_filter,
    unexpressed,
)
from meshwarden.policy.targets.envoy.tree import UNCLEAN_PATH

__all__ = [
    "TARGET",
    "UNCLEAN_PATH",
    "compile_filters",
    "compile_http_filter",
    "compile_network_filter",
    "unexpressed",
]
