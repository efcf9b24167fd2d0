"""Compiles a policy into Istio's objects.

| module | holds |
|---|---|
| `compiled` | all objects, by file, and what they cannot enforce |
| `authorization` | rules as AuthorizationPolicy |
| `paths` | path patterns as Istio's templates, and back |
| `tokens` | conditions on transaction tokens, and who verifies them |
| `namespace` | what each namespace needs: STRICT, allow nothing, clean paths, access logs |
| `egress` | ServiceEntry and Sidecar: what a service may call |

Semantics relied on (istio.io, AuthorizationPolicy; pilot/pkg/security/authz): CUSTOM, then DENY,
then ALLOW; without any ALLOW policy a workload takes everything, so each namespace gets one that
allows nothing; a rule with methods or paths never matches on a port that is not HTTP; `principals`
are SPIFFE IDs without the scheme. Two objects go beyond them: an EnvoyFilter has each inbound
proxy normalize paths as the policy means them, and refuse what is ambiguous.
"""

from meshwarden.policy.targets.istio.authorization import TARGET
from meshwarden.policy.targets.istio.compiled import compile_policy

__all__ = ["TARGET", "compile_policy"]
