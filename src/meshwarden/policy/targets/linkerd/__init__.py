"""Compiles a policy into Linkerd's objects.

| module | holds |
|---|---|
| `compiled` | all objects, by file, and what they cannot enforce |
| `routes` | rules as sets of requests that the same callers may send: one HTTPRoute each |
| `overlap` | where Linkerd's choice of one route would refuse what another allows |
| `patterns` | path patterns as regular expressions that admit clean paths alone, and back |

Semantics relied on (linkerd2-proxy, linkerd/http/route; linkerd2, policy-controller): a `Server`
refuses all that no AuthorizationPolicy allows. Of the HTTPRoutes of a Server the one with the
longest match decides alone: an exact path and a regular expression both match all of the path, and
are equals; then one that names the method is better; then the older one. So each route also
carries the callers of every rule that is wider than it. Paths are compared as they are sent:
Linkerd normalizes nothing, and what is not in its normal form is refused here.
"""

from meshwarden.policy.targets.linkerd.compiled import compile_policy
from meshwarden.policy.targets.linkerd.unexpressed import TARGET

__all__ = ["TARGET", "compile_policy"]
