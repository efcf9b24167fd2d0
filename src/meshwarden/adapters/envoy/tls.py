"""Mutual TLS 1.3 for both sides of a sidecar, and the secrets that feed it over SDS.

The callee requires a certificate of the trust bundle; who may call is decided above, by policy. The
caller verifies that the callee's certificate names the one identity that it meant to reach.
"""

from collections.abc import Iterable, Mapping

from envoy.config.core.v3.base_pb2 import DataSource, TransportSocket
from envoy.config.core.v3.config_source_pb2 import AggregatedConfigSource, ApiVersion, ConfigSource
from envoy.config.core.v3.extension_pb2 import TypedExtensionConfig
from envoy.extensions.transport_sockets.tls.v3 import common_pb2 as common
from envoy.extensions.transport_sockets.tls.v3.secret_pb2 import SdsSecretConfig, Secret
from envoy.extensions.transport_sockets.tls.v3.tls_pb2 import (
    CommonTlsContext,
    DownstreamTlsContext,
    UpstreamTlsContext,
)
from envoy.extensions.transport_sockets.tls.v3.tls_spiffe_validator_config_pb2 import (
    SPIFFECertValidatorConfig,
)
from envoy.type.matcher.v3.string_pb2 import StringMatcher
from google.protobuf.any_pb2 import Any
from google.protobuf.message import Message
from google.protobuf.wrappers_pb2 import BoolValue

from meshwarden.kernel import SpiffeId

SVID = "svid"
BUNDLE = "bundle"
EDGE_CERTIFICATE = "edge"
FEDERATED_BUNDLES = "federated-bundles"


def packed(message: Message) -> Any:
    """Return `message` inside an Any."""
    return Any(
        type_url=f"type.googleapis.com/{message.DESCRIPTOR.full_name}",
        value=message.SerializeToString(deterministic=True),
    )


def ads_source() -> ConfigSource:
    """Return the source of everything that arrives on the aggregated stream."""
    return ConfigSource(ads=AggregatedConfigSource(), resource_api_version=ApiVersion.V3)


def svid_secret(certificate_chain: str, private_key: str) -> Secret:
    """Return the sidecar's own certificate chain and key (PEM), leaf first."""
    return Secret(
        name=SVID,
        tls_certificate=common.TlsCertificate(
            certificate_chain=DataSource(inline_string=certificate_chain),
            private_key=DataSource(inline_string=private_key),
        ),
    )


def edge_secret(certificate_chain: str, private_key: str) -> Secret:
    """Return what an edge shows its customers (PEM), leaf first."""
    secret = svid_secret(certificate_chain, private_key)
    secret.name = EDGE_CERTIFICATE
    return secret


def bundle_secret(bundle: str, crls: str = "") -> Secret:
    """Return the trust domain's roots, and the revocation list of each of its issuers (PEM)."""
    return Secret(name=BUNDLE, validation_context=_trusting(bundle, crls))


def callers_secret(bundle: str, port: int, callers: Iterable[SpiffeId], crls: str = "") -> Secret:
    """Return the roots, limited to certificates of those who may connect to `port`.

    Envoy's network RBAC decides on a caller's first octet, so a service that speaks first would be
    heard by anyone with a certificate; here the others do not get through the handshake.
    """
    names = [_named(caller) for caller in callers]
    if not names:
        raise ValueError(f"nobody may connect to {port}: an empty list would let everybody in")
    context = _trusting(bundle, crls)
    context.match_typed_subject_alt_names.extend(names)
    return Secret(name=callers_name(port), validation_context=context)


def federated_secret(bundles: Mapping[str, str]) -> Secret:
    """Return the roots (PEM) of other trust domains by name, each for its own identities alone.

    Envoy's SPIFFE validator takes the bundle of the trust domain that the certificate names; a
    `trusted_ca` would let each root vouch for all of them.
    """
    domains = [
        SPIFFECertValidatorConfig.TrustDomain(
            name=name, trust_bundle=DataSource(inline_string=bundle)
        )
        for name, bundle in sorted(bundles.items())
    ]
    validator = TypedExtensionConfig(
        name="envoy.tls.cert_validator.spiffe",
        typed_config=packed(SPIFFECertValidatorConfig(trust_domains=domains)),
    )
    return Secret(
        name=FEDERATED_BUNDLES,
        validation_context=common.CertificateValidationContext(custom_validator_config=validator),
    )


def partners_secret(federated: Secret, port: int, partners: Iterable[SpiffeId]) -> Secret:
    """Return `federated` (`federated_secret`) for those of other domains who may use `port`."""
    secret = Secret(name=partners_name(port), validation_context=federated.validation_context)
    names = [_named(partner) for partner in partners]
    secret.validation_context.match_typed_subject_alt_names.extend(names)
    return secret


def partners_name(port: int) -> str:
    """Return the name of the secret that says who of other trust domains may use `port`."""
    return f"partners/{port}"


def callers_name(port: int) -> str:
    """Return the name of the secret that says who may connect to `port`."""
    return f"callers/{port}"


def callee_socket(validation: str = BUNDLE) -> TransportSocket:
    """Return the inbound side: no certificate that `validation` accepts, no connection."""
    context = DownstreamTlsContext(
        common_tls_context=CommonTlsContext(
            tls_params=_tls_1_3(),
            alpn_protocols=["h2", "http/1.1"],
            tls_certificate_sds_secret_configs=[_secret(SVID)],
            validation_context_sds_secret_config=_secret(validation),
        ),
        require_client_certificate=BoolValue(value=True),
        disable_stateless_session_resumption=True,  # every connection proves its certificate anew
        disable_stateful_session_resumption=True,
    )
    return TransportSocket(name="envoy.transport_sockets.tls", typed_config=packed(context))


def edge_socket() -> TransportSocket:
    """Return an edge's side towards customers: no certificate is asked of them."""
    context = DownstreamTlsContext(
        common_tls_context=CommonTlsContext(
            tls_params=common.TlsParameters(
                tls_minimum_protocol_version=common.TlsParameters.TLSv1_2,
                tls_maximum_protocol_version=common.TlsParameters.TLSv1_3,
            ),
            alpn_protocols=["h2", "http/1.1"],
            tls_certificate_sds_secret_configs=[_secret(EDGE_CERTIFICATE)],
        )
    )
    return TransportSocket(name="envoy.transport_sockets.tls", typed_config=packed(context))


def caller_socket(callee: SpiffeId, validation: str = BUNDLE) -> TransportSocket:
    """Return the outbound side: our certificate, and a callee that proves to be `callee`.

    Args:
        callee: whom the certificate must name, and nobody else.
        validation: the secret that says which roots may vouch for it.
    """
    context = UpstreamTlsContext(
        common_tls_context=CommonTlsContext(
            tls_params=_tls_1_3(),
            tls_certificate_sds_secret_configs=[_secret(SVID)],
            combined_validation_context=CommonTlsContext.CombinedCertificateValidationContext(
                default_validation_context=common.CertificateValidationContext(
                    match_typed_subject_alt_names=[_named(callee)]
                ),
                validation_context_sds_secret_config=_secret(validation),
            ),
        )
    )
    return TransportSocket(name="envoy.transport_sockets.tls", typed_config=packed(context))


def _trusting(bundle: str, crls: str) -> common.CertificateValidationContext:
    """Return the roots and lists.

    With lists, a certificate whose issuer has none is refused, and so is one whose list is past its
    `nextUpdate`; without any, none is looked for.
    """
    context = common.CertificateValidationContext(trusted_ca=DataSource(inline_string=bundle))
    if crls:
        context.crl.inline_string = crls
        context.only_verify_leaf_cert_crl = True  # intermediates are replaced, never listed
    return context


def _named(identity: SpiffeId) -> common.SubjectAltNameMatcher:
    return common.SubjectAltNameMatcher(
        san_type=common.SubjectAltNameMatcher.URI, matcher=StringMatcher(exact=str(identity))
    )


def _secret(name: str) -> SdsSecretConfig:
    return SdsSecretConfig(name=name, sds_config=ads_source())


def _tls_1_3() -> common.TlsParameters:
    # Both bounds: as a client Envoy would otherwise offer at most TLS 1.2.
    return common.TlsParameters(
        tls_minimum_protocol_version=common.TlsParameters.TLSv1_3,
        tls_maximum_protocol_version=common.TlsParameters.TLSv1_3,
    )
