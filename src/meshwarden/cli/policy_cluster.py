"""Options that say what an access policy does not: the conventions of a cluster."""

import re
from dataclasses import dataclass
from typing import Final

from cyclopts import Parameter

from meshwarden.cli.policy_shared import usage_error
from meshwarden.policy.targets import Cluster, TokenIssuer

_NUMBER: Final = re.compile(r"[0-9]{1,5}")
_NAME: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,13}[a-z0-9])?")  # RFC 6335, section 5.1


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class ClusterOptions:
    """Conventions of the cluster; the policy itself does not name them.

    Attributes:
        pod_label: key of the label whose value is the service's name.
        http_port: number or name of the port that takes requests (Linkerd, NetworkPolicy).
        cluster_domain: DNS domain of the cluster's services (Istio).
        token_issuer: `iss` of your transaction tokens, with --token-keys (Istio).
        token_keys: https URL of the issuer's JWKS.
        authorizer: Istio's name of an external authorizer that checks `once`.
        log_provider: Istio's name of the provider that access logs go to; "" for none.
    """

    pod_label: str = "app"
    http_port: str = "http"
    cluster_domain: str = "cluster.local"
    token_issuer: str | None = None
    token_keys: str | None = None
    authorizer: str | None = None
    log_provider: str = "meshwarden"


def cluster_of(options: ClusterOptions | None) -> Cluster:
    """Return the conventions; InputError `policy.usage` where they make no sense."""
    given = options or ClusterOptions()
    return Cluster(
        pod_label=given.pod_label,
        http_port=port_of(given.http_port),
        domain=given.cluster_domain,
        token_issuer=_issuer(given),
        authorizer=given.authorizer,
        log_provider=given.log_provider or None,
    )


def port_of(text: str) -> int | str:
    """Return a port's number, or its name; InputError `policy.usage` where it is neither."""
    if _NUMBER.fullmatch(text) and 1 <= int(text) <= 65535:
        return int(text)
    if _NAME.fullmatch(text) and any(map(str.isalpha, text)):
        return text
    raise usage_error("--http-port", "no port from 1 to 65535, and no name of one")


def _issuer(given: ClusterOptions) -> TokenIssuer | None:
    if given.token_issuer is None and given.token_keys is None:
        return None
    if given.token_issuer is None or given.token_keys is None:
        raise usage_error("arguments", "give --token-issuer and --token-keys together")
    if not given.token_keys.startswith("https://"):
        raise usage_error("--token-keys", "keys are fetched over https alone")
    return TokenIssuer(issuer=given.token_issuer, jwks_uri=given.token_keys)
