"""Reads what a cluster enforces already into the form of an access policy.

| module | holds |
|---|---|
| `part` | a value of a manifest, its place, and what could not be represented |
| `workloads` | who the pods are that a policy selects |
| `draft` | what was read so far: rules by callee, hosts, what was left out |
| `istio`, `istio_rule` | AuthorizationPolicy, ServiceEntry and what bears on them |
| `linkerd`, `linkerd_callers`, `linkerd_paths` | Server, HTTPRoute, and who may call them |
| `networkpolicy` | NetworkPolicy |
| `paths` | the meshes' paths as patterns |
| `layers` | which of these the input holds |
| `text` | the draft as an access policy's text |

What was read allows what the manifests allow, except for what is named as left out; each such note
says whether the text is wider for it (a DENY that has no place here) or narrower. Nothing is
guessed in silence: not even the identity of pods of which only a label is known.
"""

from meshwarden.policy.intake.draft import Draft
from meshwarden.policy.intake.layers import Layer, layers_in, read_layer
from meshwarden.policy.intake.part import LeftOut
from meshwarden.policy.intake.text import render_draft

__all__ = ["Draft", "Layer", "LeftOut", "layers_in", "read_layer", "render_draft"]
