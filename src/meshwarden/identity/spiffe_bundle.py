"""A trust bundle in the SPIFFE format: a JWK set. SPIFFE Trust Domain and Bundle, section 4."""

import base64
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from meshwarden.identity.model import TrustBundle
from meshwarden.kernel import ConfigError


def render_spiffe_bundle(
    bundle: TrustBundle, *, sequence: int, refresh_hint_s: int
) -> dict[str, Any]:
    """Return the bundle as JSON values.

    Args:
        bundle: the roots; the format does not name their trust domain.
        sequence: grows with every change of the bundle (4.1.1).
        refresh_hint_s: seconds after which a consumer looks again (4.1.2).
    """
    return {
        "spiffe_sequence": sequence,
        "spiffe_refresh_hint": refresh_hint_s,
        "keys": [
            {
                **_public_key(certificate),
                "use": "x509-svid",
                "x5c": [base64.b64encode(certificate.public_bytes(Encoding.DER)).decode()],
            }
            for certificate in bundle.certificates
        ],
    }


def _public_key(certificate: x509.Certificate) -> dict[str, str]:
    """RFC 7518, 6.2 and 6.3."""
    key = certificate.public_key()
    if isinstance(key, rsa.RSAPublicKey):
        numbers = key.public_numbers()
        return {"kty": "RSA", "n": _number(numbers.n), "e": _number(numbers.e)}
    if isinstance(key, ec.EllipticCurvePublicKey):
        size = (key.curve.key_size + 7) // 8
        point = key.public_numbers()
        curve = f"P-{key.curve.key_size}"
        return {
            "kty": "EC",
            "crv": curve,
            "x": _encoded(point.x.to_bytes(size)),
            "y": _encoded(point.y.to_bytes(size)),
        }
    raise ConfigError("identity.key_kind", "a root with this kind of key has no place in a bundle")


def _number(value: int) -> str:
    return _encoded(value.to_bytes((value.bit_length() + 7) // 8))


def _encoded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
