"""Networks of a mesh's own: a namespace for each service, joined in one that leads nowhere else.

`rules` says what may pass (pure), `plumb` lays it out as a program of its own, `network` holds it
for as long as the mesh runs, `established` lists and ends connections in it. Nothing of the
machine's own network is changed, nothing is named, so two meshes never meet and a killed one leaves
nothing behind.
"""

from meshwarden.adapters.network.network import Network, why_unavailable
from meshwarden.adapters.network.rules import Place

__all__ = ["Network", "Place", "why_unavailable"]
