"""Discovery documents of identity providers (OpenID Connect Discovery 4.2; RFC 8414, section 3)."""

from urllib.parse import urlsplit

from meshwarden.kernel import InputError
from meshwarden.kernel.strict_json import parse_object

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


def discovery_urls(issuer: str) -> tuple[str, str]:
    """Return where an issuer's metadata is: OpenID Connect's place, then OAuth's."""
    parts = urlsplit(issuer)
    path = parts.path.rstrip("/")
    oauth = f"{parts.scheme}://{parts.netloc}/.well-known/oauth-authorization-server{path}"
    return f"{issuer.rstrip('/')}/.well-known/openid-configuration", oauth


def parse_discovery(raw: bytes, issuer: str) -> str:
    """Return `jwks_uri`.

    Raises:
        InputError: `discovery.form`; `discovery.issuer` where the document is another issuer's
            (RFC 8414, section 3.3); `discovery.jwks` where its keys are no https URL.
    """
    try:
        found = parse_object(raw)
    except (ValueError, RecursionError) as error:
        raise InputError("discovery.form", "is no metadata document", where=issuer) from error
    if found.get("issuer") != issuer:
        raise InputError("discovery.issuer", "names another issuer", where=issuer)
    uri = found.get("jwks_uri")
    if not isinstance(uri, str) or not is_usable(uri):
        raise InputError("discovery.jwks", "has no usable jwks_uri", where=issuer)
    return uri


def is_usable(url: str) -> bool:
    """Return whether keys may be fetched there: https, or http on this machine."""
    try:
        parts = urlsplit(url)
        inside = parts.scheme == "http" and parts.hostname in LOOPBACK
    except ValueError:
        return False
    return (parts.scheme == "https" or inside) and bool(parts.hostname) and parts.username is None
