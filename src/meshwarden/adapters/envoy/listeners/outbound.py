"""Where a sidecar takes its own service's requests and connections, in the clear.

Requests arrive as at an HTTP proxy, connections at one port for each callee and its port.
"""

from typing import Final

from envoy.config.core.v3.address_pb2 import Address
from envoy.config.listener.v3.listener_pb2 import Listener
from envoy.extensions.filters.network.http_connection_manager.v3 import (
    http_connection_manager_pb2 as hcm,
)

from meshwarden.adapters.envoy import accesslog
from meshwarden.adapters.envoy.clusters import address_of
from meshwarden.adapters.envoy.containment import outbound_filter
from meshwarden.adapters.envoy.listeners.parts import chain, http_proxy, tcp_proxy
from meshwarden.adapters.envoy.listeners.routes import OUTBOUND
from meshwarden.adapters.envoy.model import Callee, Endpoint, Sidecar
from meshwarden.adapters.envoy.throttle import throttle_filter
from meshwarden.adapters.envoy.tls import ads_source

SHARED: Final = "outbound/shared"
_CONNECT: Final = hcm.HttpConnectionManager.UpgradeConfig(upgrade_type="CONNECT")


def build_outbound(sidecar: Sidecar) -> list[Listener]:
    """Return the listeners of what the service itself sends."""
    log = str(sidecar.access_log)
    found = [_requests(OUTBOUND, address_of(sidecar.outbound), log)]
    if sidecar.shared:
        found.append(_requests(SHARED, _open_to_all(sidecar.shared), log))
    return found + [
        _connections(callee, callee.port, callee.local, log)
        for callee in sidecar.callees
        if callee.port and callee.local
    ]


def _requests(name: str, address: Address, log: str) -> Listener:
    manager = http_proxy(
        OUTBOUND,
        accesslog.outbound_http(log),
        [throttle_filter()],
        rds=hcm.Rds(config_source=ads_source(), route_config_name=OUTBOUND),
        upgrade_configs=[_CONNECT],
    )
    return Listener(name=name, address=address, filter_chains=[chain([manager])])


def _open_to_all(endpoint: Endpoint) -> Address:
    """Return a socket that whoever may pass its directory connects to."""
    address = address_of(endpoint)
    address.pipe.mode = 0o666
    return address


def _connections(callee: Callee, port: int, local: Endpoint, log: str) -> Listener:
    name = f"{OUTBOUND}/{callee.service}/{port}"
    record = accesslog.outbound_tcp(log, destination=str(callee.identity), port=port)
    proxy = tcp_proxy(name, callee.cluster, record)
    return Listener(
        name=name,
        address=address_of(local),
        filter_chains=[chain([outbound_filter(), proxy])],
    )
