"""The control plane: policy, certificates and recorded calls of one running mesh.

`plane` owns them, `certificates` keeps every sidecar's SVID fresh, `published` is the policy that
sidecars run and `drift` whether they do, `status` is what the plane says about itself. `revocation`
takes a certificate back: `targets` says which, `enforcing` tells the sidecars, `severing` cuts in
the network what they leave, `superseded` knows which connections that concerns.
"""

from meshwarden.control.plane.opening import open_plane
from meshwarden.control.plane.plane import ControlPlane
from meshwarden.control.plane.status import Status

__all__ = ["ControlPlane", "Status", "open_plane"]
