"""What enforces a policy, one module each; all agree with `decide` or say what they cannot.

`envoy` is what meshwarden's own sidecars run. `istio`, `linkerd` and `networkpolicy` write
Kubernetes objects for a cluster (`cluster` holds its conventions, `manifest` what is common to the
objects), `rego` a module and data for OPA. Each has `TARGET` and `compile_policy`.
"""

from meshwarden.policy.targets.cluster import Cluster, TokenIssuer
from meshwarden.policy.targets.manifest import Compiled
from meshwarden.policy.targets.unexpressed import Unexpressed

__all__ = ["Cluster", "Compiled", "TokenIssuer", "Unexpressed"]
