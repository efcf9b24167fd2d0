"""Where a running mesh keeps its files, which addresses its sidecars have, and as whom all run.

Supervisor and control plane run as two processes; both compute the same values from the state
directory and the names of the services alone, isolated also from the first of the mesh's user ids.
Nothing here creates or changes a file.

Everything below the state directory is private to the account that runs meshwarden. Only `app/`, in
which a service creates its own socket, belongs to the service's account: a service could otherwise
put its own socket in the place of its sidecar's. In an isolated mesh `own/` belongs to the sidecar
and `out/` to the border, and each lets in the one that has to connect, by its group.

`state_files` are the mesh's, `service_files` those of one service and its sidecar; `ports` says
which port takes what; `layout` adds addresses and users; `environment` is what a service is told.
"""

from meshwarden.control.layout.environment import service_environment
from meshwarden.control.layout.layout import USERS, Layout, layout_of
from meshwarden.control.layout.names import BORDER, CONTROL_PLANE, WORKLOAD, sidecar_name
from meshwarden.control.layout.ports import (
    FEDERATED_PORT,
    FIRST_INBOUND_TCP_PORT,
    INBOUND_PORT,
    INBOUND_TCP_PORTS,
    OUTBOUND_PORT,
    REDIRECTED_PORT,
    federated_tcp_ports,
    inbound_tcp_ports,
    outbound_tcp_ports,
)
from meshwarden.control.layout.state_files import BEHAVIOUR_STATE

__all__ = [
    "BEHAVIOUR_STATE",
    "BORDER",
    "CONTROL_PLANE",
    "FEDERATED_PORT",
    "FIRST_INBOUND_TCP_PORT",
    "INBOUND_PORT",
    "INBOUND_TCP_PORTS",
    "OUTBOUND_PORT",
    "REDIRECTED_PORT",
    "USERS",
    "WORKLOAD",
    "Layout",
    "federated_tcp_ports",
    "inbound_tcp_ports",
    "layout_of",
    "outbound_tcp_ports",
    "service_environment",
    "sidecar_name",
]
