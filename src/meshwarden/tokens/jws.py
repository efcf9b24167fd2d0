"""JWS in compact form, read the strict way, and the one place where signatures are made and proven.

Sources: RFC 7515, RFC 7519, RFC 8725 and its revision. What two readers may understand differently
is refused before any cryptography: foreign characters, duplicate members, deep nesting, headers
that would choose a key. The key decides the algorithm, never the token.
"""

import json
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey

from meshwarden.kernel.strict_json import parse_object
from meshwarden.tokens.errors import TokenError
from meshwarden.tokens.model import MAX_TOKEN_BYTES, UnverifiedToken

ALGORITHMS: Final = ("ES256", "ES384", "RS256", "PS256", "EdDSA")
"""All that any issuer may use: asymmetric, and verified by Envoy too."""

MIN_RSA_BITS: Final = 2048
MAX_KID_BYTES: Final = 256
_FORM: Final = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_MEMBERS: Final = frozenset({"alg", "typ", "kid", "cty"})
_CHOOSES_KEY: Final = frozenset({"jku", "jwk", "x5u", "x5c", "x5t", "x5t#S256"})

PublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey | ed25519.Ed25519PublicKey
PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey
JoseKey = ECKey | RSAKey | OKPKey


@dataclass(frozen=True, slots=True, kw_only=True)
class VerificationKey:
    """A public key, the one algorithm that it verifies, and its name; ValueError where unfit."""

    kid: str
    algorithm: str
    key: PublicKey
    jose: JoseKey = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not fits(self.key, self.algorithm):
            raise ValueError(f"the key is not one for {self.algorithm}")
        object.__setattr__(self, "jose", jose_key(self.key))


@dataclass(frozen=True, slots=True, kw_only=True)
class Parsed:
    """A token whose form is right and of which nothing is proven."""

    header: Mapping[str, Any]
    unverified_claims: Mapping[str, Any]
    text: str = field(repr=False)


def parse_compact(unverified: UnverifiedToken, *, max_bytes: int = MAX_TOKEN_BYTES) -> Parsed:
    """Return header and claims; TokenError `token.form` or `token.header`.

    Rows 1, 2 and 5 of the validator, and what RFC 7515, section 4 says of headers.
    """
    text = unverified.reveal()
    if len(text) > max_bytes:
        raise TokenError("token.form", f"longer than {max_bytes} bytes", clause="row 1")
    if "," in text or " " in text:
        raise TokenError("token.form", "more than one value in one header", clause="row 1")
    if not _FORM.fullmatch(text):
        raise TokenError(
            "token.form", "not three parts of base64url characters", clause="RFC 7515, 7.1"
        )
    first, second, third = text.split(".")
    try:
        header, claims = parse_object(_decode(first)), parse_object(_decode(second))
        _decode(third)
    except (ValueError, RecursionError) as error:
        raise TokenError(
            "token.form", "its parts cannot be read", clause="RFC 8725, 3.8"
        ) from error
    _check_header(header)
    return Parsed(header=header, unverified_claims=claims, text=text)


def verify_signature(parsed: Parsed, key: VerificationKey) -> None:
    """Raise TokenError unless `key` signed the token with its own algorithm (rows 4 and 6)."""
    if parsed.header["alg"] != key.algorithm:
        raise TokenError(
            "token.algorithm", "its algorithm is not that of the key", clause="RFC 8725, 3.1"
        )
    try:
        jws.deserialize_compact(parsed.text, key.jose, algorithms=[key.algorithm])
    except (JoseError, ValueError) as error:
        raise TokenError(
            "token.signature", "the signature is wrong", clause="RFC 7515, 5.2"
        ) from error


def sign_compact(
    claims: Mapping[str, Any], key: JoseKey, *, algorithm: str, kid: str, typ: str
) -> UnverifiedToken:
    """Return the claims, signed."""
    payload = json.dumps(claims, separators=(",", ":"), ensure_ascii=False).encode()
    header = _header(algorithm, kid, typ)
    return UnverifiedToken(jws.serialize_compact(header, payload, key, algorithms=[algorithm]))


def first_part(*, algorithm: str, kid: str, typ: str) -> str:
    """Return the first part of every token that `sign_compact` signs so: nothing else is in it.

    >>> first_part(algorithm="ES256", kid="k", typ="txntoken+jwt")
    'eyJhbGciOiJFUzI1NiIsImtpZCI6ImsiLCJ0eXAiOiJ0eG50b2tlbitqd3QifQ'
    """
    octets = json.dumps(_header(algorithm, kid, typ), separators=(",", ":")).encode()
    return urlsafe_b64encode(octets).rstrip(b"=").decode()


def _header(algorithm: str, kid: str, typ: str) -> dict[str, str]:
    return {"alg": algorithm, "kid": kid, "typ": typ}


def media_type(header: Mapping[str, Any]) -> str:
    """Return `typ`, lower case, without `application/` (RFC 7515, 4.1.9); "" where none."""
    return str(header.get("typ", "")).lower().removeprefix("application/")


def fits(key: object, algorithm: str) -> bool:
    """Return whether `key` is of the kind and strength that `algorithm` takes."""
    if isinstance(key, ec.EllipticCurvePublicKey | ec.EllipticCurvePrivateKey):
        return {"ES256": "secp256r1", "ES384": "secp384r1"}.get(algorithm) == key.curve.name
    if isinstance(key, rsa.RSAPublicKey | rsa.RSAPrivateKey):
        return algorithm in {"RS256", "PS256"} and key.key_size >= MIN_RSA_BITS
    if isinstance(key, ed25519.Ed25519PublicKey | ed25519.Ed25519PrivateKey):
        return algorithm == "EdDSA"
    return False


def jose_key(key: PublicKey | PrivateKey) -> JoseKey:
    """Return the key as the JOSE library takes it."""
    if isinstance(key, ec.EllipticCurvePublicKey | ec.EllipticCurvePrivateKey):
        return ECKey.import_key(key)
    if isinstance(key, rsa.RSAPublicKey | rsa.RSAPrivateKey):
        return RSAKey.import_key(key)
    return OKPKey.import_key(key)


def _check_header(header: Mapping[str, Any]) -> None:
    if _CHOOSES_KEY & set(header):
        raise TokenError(
            "token.header", "its header would choose the key", clause="row 5; RFC 8725, 3.10"
        )
    if "crit" in header or "b64" in header or "zip" in header:
        raise TokenError("token.header", "it demands an extension", clause="RFC 7515, 4.1.11")
    if set(header) - _MEMBERS:
        raise TokenError(
            "token.header", "its header has more than alg, typ, kid and cty", clause="row 5"
        )
    if not all(isinstance(value, str) for value in header.values()):
        raise TokenError("token.header", "alg, typ and kid are texts", clause="RFC 7515, 4.1")
    if len(header.get("kid", "")) > MAX_KID_BYTES:
        raise TokenError("token.header", "the name of its key is too long", clause="RFC 8725, 3.10")
    if header.get("alg") not in ALGORITHMS:
        raise TokenError(
            "token.algorithm", "its algorithm is not one that is taken", clause="RFC 8725, 3.1"
        )


def _decode(part: str) -> bytes:
    """Return the bytes; ValueError where another text stands for them too.

    Otherwise one token could be written in several ways, and each would count as a new one.
    """
    raw = urlsafe_b64decode(part + "=" * (-len(part) % 4))
    if urlsafe_b64encode(raw).rstrip(b"=").decode() != part:
        raise ValueError("not canonical base64url")
    return raw
