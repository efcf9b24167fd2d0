"""Where a sidecar listens, and which way each request goes.

- `inbound`: mutual TLS, then the request's transaction token, then the compiled policy, then the
  service. Nothing passes that no rule allows; a filter that has not arrived yet keeps the listener
  shut.
- `inbound/<port>`: the same for connections.
- `federated`, `federated/<port>`: the same for callers of other trust domains, whose certificates
  their own bundles verify.
- `outbound`: the service's own requests, as to an HTTP proxy: by service name over mutual TLS, or
  to a listed outside host (also by CONNECT, end to end). Any other host is refused here.
- `outbound/<service>/<port>`: the service's own connections.
- `redirected`: what an isolated service sent elsewhere, see `redirected`.
- `edge`: from outside, see `edge`.

What is contained (`containment`) is cut off before policy is asked. Requests in flight and
connections are bounded in time, so that neither outlives for long the certificate that began it.

One module for each kind of listener; `parts` is what they are made of, `filters` what the inbound
ones ask for by name, `routes` where requests go.
"""

from envoy.config.listener.v3.listener_pb2 import Listener

from meshwarden.adapters.envoy.listeners.edge import build_edge
from meshwarden.adapters.envoy.listeners.filters import (
    AUTHORIZATION,
    build_filters,
    build_partner_filters,
    build_policy_filters,
)
from meshwarden.adapters.envoy.listeners.inbound import build_inbound
from meshwarden.adapters.envoy.listeners.outbound import build_outbound
from meshwarden.adapters.envoy.listeners.redirected import build_redirected
from meshwarden.adapters.envoy.listeners.routes import OUTBOUND, build_routes
from meshwarden.adapters.envoy.model import Sidecar

__all__ = [
    "AUTHORIZATION",
    "OUTBOUND",
    "build_filters",
    "build_listeners",
    "build_partner_filters",
    "build_policy_filters",
    "build_routes",
]


def build_listeners(sidecar: Sidecar) -> dict[str, Listener]:
    """Return the listeners of `sidecar` by name."""
    found = build_outbound(sidecar) + build_inbound(sidecar)
    if sidecar.edge:
        found.append(build_edge(sidecar, sidecar.edge))
    if sidecar.redirected:
        found.append(build_redirected(sidecar, sidecar.redirected))
    return {listener.name: listener for listener in found}
