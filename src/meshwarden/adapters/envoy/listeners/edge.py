"""Where requests from outside arrive: in the clear, or over TLS with the user's own certificate.

What is let in is said by `authorizer.edge_routes`, and where these say nothing by the service. No
transaction token gets in but the one that the edge asks for. Over a Unix socket (isolated) the
border announces the client's address.
"""

from typing import Any

from envoy.config.common.mutation_rules.v3.mutation_rules_pb2 import HeaderMutation
from envoy.config.core.v3.base_pb2 import HeaderValue, HeaderValueOption
from envoy.config.core.v3.extension_pb2 import TypedExtensionConfig
from envoy.config.listener.v3.listener_components_pb2 import ListenerFilter
from envoy.config.listener.v3.listener_pb2 import Listener
from envoy.extensions.filters.listener.tls_inspector.v3.tls_inspector_pb2 import TlsInspector
from envoy.extensions.filters.network.http_connection_manager.v3 import (
    http_connection_manager_pb2 as hcm,
)
from envoy.extensions.http.early_header_mutation.header_mutation.v3.header_mutation_pb2 import (
    HeaderMutation as EarlyMutation,
)
from google.protobuf.wrappers_pb2 import BoolValue

from meshwarden.adapters.envoy import accesslog
from meshwarden.adapters.envoy.authorizer.codec import JA4
from meshwarden.adapters.envoy.authorizer.edge_routes import EDGE
from meshwarden.adapters.envoy.authorizer.filters import (
    entry_filter,
    hold_filter,
    unavailable_reply,
)
from meshwarden.adapters.envoy.clusters import listening_at
from meshwarden.adapters.envoy.listeners.parts import announcement, chain, http_proxy
from meshwarden.adapters.envoy.listeners.routes import to_application
from meshwarden.adapters.envoy.model import Endpoint, Sidecar
from meshwarden.adapters.envoy.tls import ads_source, edge_socket, packed
from meshwarden.adapters.envoy.verification import HEADER
from meshwarden.tokens.challenge import unavailable


def build_edge(sidecar: Sidecar, listen: Endpoint) -> Listener:
    """Return the listener of requests from outside."""
    manager = http_proxy(
        EDGE,
        accesslog.edge_http(str(sidecar.access_log)),
        forward_client_cert_details=hcm.HttpConnectionManager.SANITIZE,
        use_remote_address=BoolValue(value=True),
        early_header_mutation_extensions=[_at_first()],
        **(_authorized() if sidecar.authorizer else _unauthorized()),
    )
    return Listener(
        name=EDGE,
        address=listening_at(listen),
        listener_filters=announcement(listen) + ([_inspector()] if sidecar.edge_tls else []),
        filter_chains=[chain([manager], edge_socket() if sidecar.edge_tls else None)],
    )


def _authorized() -> dict[str, Any]:
    return {
        "filters": [hold_filter(), entry_filter()],
        "rds": hcm.Rds(config_source=ads_source(), route_config_name=EDGE),
        "local_reply_config": unavailable_reply(unavailable("authorizer.unavailable").body),
    }


def _unauthorized() -> dict[str, Any]:
    return {"route_config": to_application(EDGE, drop=[accesslog.CALL_HEADER, JA4])}


def _at_first() -> TypedExtensionConfig:
    """Return what happens to headers before any filter sees them: forged ones go, JA4 comes."""
    ja4 = HeaderValueOption(
        header=HeaderValue(key=JA4, value="%TLS_JA4_FINGERPRINT%"),
        append_action=HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD,
    )
    forged = [HeaderMutation(remove=name) for name in (HEADER, JA4)]
    mutations = [*forged, HeaderMutation(append=ja4)]
    return TypedExtensionConfig(
        name="envoy.http.early_header_mutation.header_mutation",
        typed_config=packed(EarlyMutation(mutations=mutations)),
    )


def _inspector() -> ListenerFilter:
    """Return what fingerprints a customer's TLS handshake."""
    inspector = TlsInspector(enable_ja4_fingerprinting=BoolValue(value=True))
    return ListenerFilter(
        name="envoy.filters.listener.tls_inspector", typed_config=packed(inspector)
    )
