"""The filters that inbound listeners ask for by name, so that they change without a listener.

The compiled policy, what is contained, what tokens are verified with.
"""

from typing import Final

from envoy.config.core.v3.extension_pb2 import TypedExtensionConfig
from google.protobuf.message import Message

from meshwarden.adapters.envoy.clusters import NOTHING
from meshwarden.adapters.envoy.containment import (
    CONTAINMENT,
    Containment,
    containment_resource,
    partners_containment,
    partners_resource,
)
from meshwarden.adapters.envoy.model import Filters, Sidecar
from meshwarden.adapters.envoy.tls import packed
from meshwarden.adapters.envoy.verification import TOKENS, Verification, verification_resource

AUTHORIZATION: Final = "authorization"


def authorization(port: int) -> str:
    """Return the name of the compiled policy for connections to `port`."""
    return f"{AUTHORIZATION}/{port}"


def build_filters(
    sidecar: Sidecar,
    filters: Filters,
    containment: Containment = NOTHING,
    verification: Verification | None = None,
) -> dict[str, TypedExtensionConfig]:
    """Return what the inbound listeners ask for by name: compiled policy, and what goes before."""
    found = build_policy_filters(sidecar, filters) | build_partner_filters(sidecar, containment)
    if sidecar.inbound:
        found[CONTAINMENT] = containment_resource(containment)
    if sidecar.verifies_tokens and verification is not None:
        found[TOKENS] = verification_resource(verification)
    return found


def build_partner_filters(
    sidecar: Sidecar, containment: Containment
) -> dict[str, TypedExtensionConfig]:
    """Return what is contained of partners' connections, as their listeners ask for it by name."""
    return {
        partners_containment(one.port): partners_resource(one.port, containment.of(*one.partners))
        for one in sidecar.tcp
        if one.federated
    }


def build_policy_filters(sidecar: Sidecar, filters: Filters) -> dict[str, TypedExtensionConfig]:
    """Return the compiled policy as the filters that the inbound listeners ask for by name."""
    named: dict[str, Message] = {AUTHORIZATION: filters.http} if sidecar.inbound else {}
    named |= {authorization(one.port): filters.tcp[one.port] for one in sidecar.tcp}
    return {
        name: TypedExtensionConfig(name=name, typed_config=packed(message))
        for name, message in named.items()
    }
