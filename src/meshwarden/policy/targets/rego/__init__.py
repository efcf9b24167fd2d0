"""Compiles a policy into Rego (v1) for OPA: rules as data, and one module that asks them.

`policy.rego` is the same for every policy; `data.json` is the policy. OPA loads both as a folder or
a bundle, and answers `data.meshwarden.access.allow` and `.rule` for an input of

- requests: `{"source", "destination", "method", "path", "claims"?}`;
- connections: `{"source", "destination", "port"}`.

`claims` are those of a token that was verified elsewhere. A path is taken as it comes: one that is
not in its normal form is refused, so ask with what the proxy made of it.
"""

from meshwarden.policy.targets.rego.compiled import TARGET, compile_policy
from meshwarden.policy.targets.rego.module import MODULE

__all__ = ["MODULE", "TARGET", "compile_policy"]
