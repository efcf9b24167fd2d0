"""`x-forwarded-client-cert`: who called, as our own Envoy in front wrote it (SANITIZE_SET).

With SANITIZE_SET Envoy drops what the caller sent and writes one element, from the certificate that
it verified in the handshake. Anything else than one element with one URI proves nothing.
"""

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Final
from urllib.parse import unquote

from meshwarden.kernel import InputError, SpiffeId, VerificationError

HEADER: Final = b"x-forwarded-client-cert"
MAX_BYTES: Final = 16 * 1024
_PAIR: Final = re.compile(r'([A-Za-z]+)=("(?:[^"\\]|\\.)*"|[^;,"]*)(?:;|$)')


def parse_client(headers: Iterable[tuple[bytes, bytes]]) -> tuple[SpiffeId, str | None]:
    """Return the caller's identity, and its certificate as PEM where Envoy passes it on.

    Raises:
        VerificationError: `client.unproven` where the header is absent, double, or no one element.
    """
    found = [value for name, value in headers if name == HEADER]
    if len(found) != 1 or len(found[0]) > MAX_BYTES:
        raise VerificationError("client.unproven", "no certificate was presented")
    return _parse(found[0])


@lru_cache(maxsize=1024)
def _parse(value: bytes) -> tuple[SpiffeId, str | None]:
    """Return what one header says; a workload sends the same one with thousands of requests."""
    pairs: dict[str, list[str]] = {}
    text, position = value.decode("latin-1"), 0
    while position < len(text):
        match = _PAIR.match(text, position)
        if match is None:
            raise VerificationError("client.unproven", "the certificate header cannot be read")
        pairs.setdefault(match[1].lower(), []).append(match[2].strip('"'))
        position = match.end()
    identities, certificates = pairs.get("uri", []), pairs.get("cert", [])
    if len(identities) != 1 or len(certificates) > 1:
        raise VerificationError("client.unproven", "the certificate does not name one identity")
    try:
        identity = SpiffeId.parse(identities[0])
    except InputError as error:
        raise VerificationError("client.unproven", "the certificate is no X.509-SVID") from error
    return identity, unquote(certificates[0]) if certificates else None
