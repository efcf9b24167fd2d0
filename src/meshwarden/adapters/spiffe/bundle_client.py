"""Fetches the bundle of another trust domain: SPIFFE Federation, both profiles.

`https_web`: the machine's web roots and the host's name decide. `https_spiffe`: the endpoint's
certificate is an X.509-SVID that the domain's present bundle verifies and that names the one SPIFFE
ID written down. What comes is bounded and unread: parsing is `identity.parse_bundle`.
"""

import asyncio
import ssl
from pathlib import Path
from typing import Any, Final

import httpx
from cryptography import x509

from meshwarden.identity import Bundle
from meshwarden.identity.bundle import MAX_BYTES
from meshwarden.identity.verify import verify_leaf
from meshwarden.kernel import DependencyError, SpiffeId, VerificationError

TIMEOUT_S: Final = 20.0
MAX_REDIRECTS: Final = 3


async def fetch_bundle_web(url: str, roots: Path | None = None) -> bytes:
    """Return what the endpoint serves, proven by the web's authorities (or those in `roots`).

    Raises:
        DependencyError: `federation.unreachable`.
    """
    try:
        context = ssl.create_default_context(cafile=roots)
    except (OSError, ssl.SSLError) as error:
        raise _failed(url, error) from error
    return await _fetch(url, context, None)


async def fetch_bundle_spiffe(url: str, endpoint: SpiffeId, trusted: Bundle) -> bytes:
    """Return what the endpoint serves, proven by its SVID under `trusted`.

    Raises:
        DependencyError: `federation.unreachable`, also where the endpoint is not `endpoint`.
    """
    if endpoint.trust_domain != trusted.trust_domain or not trusted.certificates:
        raise _failed(url, VerificationError("identity.untrusted", "no bundle verifies it"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # no roots of this machine
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = False  # an SVID names no host
    context.verify_mode = ssl.CERT_REQUIRED
    try:
        context.load_verify_locations(cadata=trusted.roots.pem)
    except ssl.SSLError as error:  # it parses these more strictly than we do
        raise _failed(url, error) from error
    return await _fetch(url, context, endpoint)


async def _fetch(url: str, context: ssl.SSLContext, endpoint: SpiffeId | None) -> bytes:
    async def _only_https(request: httpx.Request) -> None:
        if request.url.scheme != "https":
            raise httpx.UnsupportedProtocol("redirected away from https")

    try:
        async with (
            asyncio.timeout(TIMEOUT_S),
            httpx.AsyncClient(
                verify=context, trust_env=False, timeout=TIMEOUT_S, follow_redirects=True,
                max_redirects=MAX_REDIRECTS, event_hooks={"request": [_only_https]},
            ) as client,
            client.stream("GET", url, headers={"accept": "application/json"}) as response,
        ):  # fmt: skip
            if endpoint is not None:
                _require_endpoint(response, endpoint)
            if response.status_code != httpx.codes.OK:
                raise DependencyError(
                    "federation.unreachable", f"{url} answers {response.status_code}"
                )
            return await _read(response, url)
    except (httpx.HTTPError, OSError, TimeoutError, VerificationError) as error:
        raise _failed(url, error) from error


def _require_endpoint(response: httpx.Response, endpoint: SpiffeId) -> None:
    stream: Any = response.extensions["network_stream"]
    raw: bytes = stream.get_extra_info("ssl_object").getpeercert(binary_form=True)
    try:
        certificate = x509.load_der_x509_certificate(raw)
    except ValueError as error:
        raise VerificationError("identity.malformed", f"its certificate: {error}") from error
    found = verify_leaf(certificate)
    if found != endpoint:
        raise VerificationError("identity.untrusted", f"the endpoint is {found}, not {endpoint}")


async def _read(response: httpx.Response, url: str) -> bytes:
    body = bytearray()
    async for chunk in response.aiter_bytes(65_536):
        body += chunk
        if len(body) > MAX_BYTES:
            raise DependencyError("federation.unreachable", f"{url} serves more than {MAX_BYTES} B")
    return bytes(body)


def _failed(url: str, error: Exception) -> DependencyError:
    reason = " ".join(str(error).split())[:200] or type(error).__name__
    return DependencyError("federation.unreachable", f"the bundle endpoint {url}: {reason}")
