"""One spelling for every party: SPIFFE ID, `external:<host>`, or `unknown`.

Each product writes the same workload in its own way; here alone it becomes a SPIFFE ID:

- Envoy and SPIRE: `spiffe://bank.example/ns/core/sa/ledger`, as it is;
- Istio principals: `cluster.local/ns/core/sa/ledger`, without the scheme;
- Linkerd: `ledger.core.serviceaccount.identity.linkerd.cluster.local`;
- Cilium: labels with the service account, or reserved ones such as `reserved:world`;
- Kubernetes names that prove no account (a service's host name, a pod, a workload):
  `spiffe://<trust domain>/ns/<namespace>/workload/<name>`, so that nobody takes the name of a
  Deployment for the account that it runs under.

Nothing here says that an identity was proven: that is the `mtls` column's business.
"""

import ipaddress
import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from meshwarden.adapters.sources.pods import workload_of_pod
from meshwarden.adapters.sources.row import CLUSTER_DOMAIN
from meshwarden.kernel import EXTERNAL, UNKNOWN, InputError, SpiffeId

IMPORTED_DOMAIN: Final = "imported.invalid"
_LINKERD: Final = re.compile(
    r"([a-z0-9-]{1,63})\.([a-z0-9-]{1,63})\.serviceaccount\.identity\.[a-z0-9-]{1,63}\.([a-z0-9._-]{1,253})"
)
_SERVICE: Final = re.compile(r"([a-z0-9-]{1,63})\.([a-z0-9-]{1,63})\.svc(?:\.([a-z0-9.-]{1,253}))?")
_HOST: Final = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,252})|[0-9a-f:.]{2,45}")
_SEGMENT: Final = re.compile(r"[^A-Za-z0-9.-]")


@lru_cache(maxsize=16_384)
def principal(text: str | None) -> str | None:
    """Return the SPIFFE ID that a proxy's principal spells, in any mesh's way; None for others.

    Several URIs come joined by commas: that is none.

    >>> principal("cluster.local/ns/core/sa/ledger")
    'spiffe://cluster.local/ns/core/sa/ledger'
    >>> principal("web.shop.serviceaccount.identity.linkerd.cluster.local")
    'spiffe://cluster.local/ns/shop/sa/web'
    """
    if not text or text == "-":
        return None
    found = _LINKERD.fullmatch(text)
    if found:
        account, namespace, domain = found.groups()
        text = f"spiffe://{domain}/ns/{namespace}/sa/{account}"
    elif "://" not in text and "/ns/" in text:
        text = f"spiffe://{text}"
    try:
        return str(SpiffeId.parse(text))
    except InputError:
        return None


@lru_cache(maxsize=16_384)
def account(namespace: str, name: str, domain: str = CLUSTER_DOMAIN) -> str:
    """Return the SPIFFE ID of a service account."""
    return named(f"ns/{namespace}/sa/{name}", domain) or UNKNOWN


@lru_cache(maxsize=16_384)
def workload(namespace: str | None, name: str, domain: str = CLUSTER_DOMAIN) -> str:
    """Return the name of a Kubernetes workload or service, which proves no account."""
    return named(f"ns/{namespace or 'default'}/workload/{name}", domain) or UNKNOWN


def pod_owner(namespace: str | None, pod: str, domain: str = CLUSTER_DOMAIN) -> str:
    """Return the name of the workload that owns `pod`: template hashes and ordinals fall off."""
    return workload(namespace, workload_of_pod(pod), domain)


@lru_cache(maxsize=16_384)
def host_party(host: str | None, domain: str = CLUSTER_DOMAIN) -> str:
    """Return the party that a host name (no port) stands for.

    `ledger.core.svc.cluster.local` is a workload; a single label is a name of the same network;
    addresses are `address_party`'s; anything else is outside.
    """
    host = (host or "").lower().rstrip(".")
    if not _HOST.fullmatch(host):
        return UNKNOWN
    found = _SERVICE.fullmatch(host)
    if found:
        return workload(found.group(2), found.group(1), domain)
    if _address(host) is not None:
        return address_party(host)
    if "." not in host:
        return named(host, domain) or UNKNOWN
    return f"{EXTERNAL}{host}"


@lru_cache(maxsize=16_384)
def address_party(text: str | None) -> str:
    """Return `external:<address>` for a public address; `unknown` for private ones and none."""
    address = _address(text or "")
    return f"{EXTERNAL}{address}" if address is not None and address.is_global else UNKNOWN


@lru_cache(maxsize=16_384)
def host_of_network(text: str, *, local: bool | None = None) -> str:
    """Return the party of an address in a connection log, where addresses are all there is.

    Hosts of the own network are told apart: `spiffe://imported.invalid/<address>`. `local` is the
    log's own word on that; without it private addresses are local.
    """
    address = _address(text)
    if address is None:
        return named(text) or UNKNOWN
    inside = local if local is not None else not address.is_global
    return (named(str(address)) or UNKNOWN) if inside else f"{EXTERNAL}{address}"


def cilium_party(
    labels: Iterable[object], *, domain: str = CLUSTER_DOMAIN, host: str | None = None
) -> str | None:
    """Return the party that Cilium's security labels name; None where they name none.

    The account's label wins; `reserved:world` is outside (`host`: a name or address of it).
    """
    found = dict(_label(label) for label in labels if isinstance(label, str))
    namespace = found.get("io.kubernetes.pod.namespace")
    name = found.get("io.cilium.k8s.policy.serviceaccount")
    if namespace and name:
        return account(namespace, name, domain)
    reserved = next((key for key in found if key.startswith("reserved:")), None)
    if reserved is None:
        return None
    if reserved.startswith("reserved:world"):
        return f"{EXTERNAL}{host}" if host and _HOST.fullmatch(host) else UNKNOWN
    kind = reserved.removeprefix("reserved:")
    return UNKNOWN if kind in {"unknown", "unmanaged"} else named(f"reserved/{kind}", domain)


def _label(text: str) -> tuple[str, str]:
    if text.startswith("reserved:"):
        return text, ""
    key, _, value = text.removeprefix("k8s:").partition("=")
    return key, value


@lru_cache(maxsize=65_536)
def named(name: str, domain: str = IMPORTED_DOMAIN) -> str | None:
    """Return the party of a free name; None where it can be none.

    `unknown`, `external:<host>` and SPIFFE IDs stay; any other name becomes
    `spiffe://<domain>/<name>`, with what the grammar refuses written as `_xx`.
    """
    name = name.strip()
    if name == UNKNOWN or (name.startswith(EXTERNAL) and len(name) > len(EXTERNAL)):
        return name
    try:
        if name[:9].lower() == "spiffe://":
            return str(SpiffeId.parse(name))
        segments = [_SEGMENT.sub(_escape, part) for part in name.strip("/").split("/")]
        return str(SpiffeId(trust_domain=domain, path="/" + "/".join(segments)))
    except InputError:
        return None


def _escape(match: re.Match[str]) -> str:
    if match.group() == "_":
        return "_"
    return "".join(f"_{octet:02x}" for octet in match.group().encode())


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address
