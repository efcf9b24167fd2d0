"""JWK Sets of issuers, from their bytes, and ours, to bytes (RFC 7517, RFC 7638).

A key of an unknown kind is skipped, as the RFC asks; a set with two keys of one name, a private or
symmetric key, or too many keys is refused whole: nobody publishes such a set in their right mind.
"""

import base64
import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey

from meshwarden.kernel import InputError
from meshwarden.kernel.strict_json import parse_object
from meshwarden.tokens.jws import (
    MAX_KID_BYTES,
    MIN_RSA_BITS,
    PublicKey,
    VerificationKey,
    fits,
    jose_key,
)

MAX_KEYS: Final = 64
MAX_JWKS_BYTES: Final = 256 * 1024
_PRIVATE: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
_MEMBERS: Final = {
    "EC": ("crv", "kty", "x", "y"),
    "RSA": ("e", "kty", "n"),
    "OKP": ("crv", "kty", "x"),
}
_BY_CURVE: Final = {"P-256": "ES256", "P-384": "ES384", "Ed25519": "EdDSA"}


def parse_jwks(raw: bytes, *, where: str) -> dict[str, VerificationKey]:
    """Return the signature keys in a JWK Set by `kid`; one without a `kid` has its thumbprint.

    Raises:
        InputError: `jwks.form`, `jwks.private`, `jwks.duplicate`, `jwks.size`.
    """
    if len(raw) > MAX_JWKS_BYTES:
        raise InputError("jwks.size", f"longer than {MAX_JWKS_BYTES} bytes", where=where)
    try:
        keys = parse_object(raw).get("keys")
    except (ValueError, RecursionError) as error:
        raise InputError("jwks.form", "is no JWK Set", where=where) from error
    if not isinstance(keys, list) or len(keys) > MAX_KEYS:
        raise InputError("jwks.form", f"has no list of at most {MAX_KEYS} keys", where=where)
    found: dict[str, VerificationKey] = {}
    for item in keys:
        if not isinstance(item, dict):
            raise InputError("jwks.form", "has a key that is no object", where=where)
        if _PRIVATE & set(item):
            raise InputError("jwks.private", "holds a secret key", where=where, hint="replace it")
        key = _parse(item)
        if key is None:
            continue
        if key.kid in found:
            raise InputError("jwks.duplicate", "has two keys of one name", where=where)
        found[key.kid] = key
    return found


def render_jwks(keys: Iterable[VerificationKey]) -> str:
    """Return the JWK Set of `keys`."""
    return json.dumps({"keys": [render_jwk(key) for key in keys]}, separators=(",", ":"))


def render_jwk(key: VerificationKey) -> dict[str, str]:
    """Return one public key, with `kid`, `alg` and `use`."""
    members = _public(key.key)
    return members | {"kid": key.kid, "alg": key.algorithm, "use": "sig"}


def thumbprint(key: PublicKey) -> str:
    """Return the RFC 7638 thumbprint: base64url of SHA-256 over the required members."""
    return _thumbprint(_public(key))


def _public(key: PublicKey) -> dict[str, str]:
    found = jose_key(key).as_dict(private=False)
    return {name: str(found[name]) for name in _MEMBERS[str(found["kty"])]}


def _thumbprint(members: Mapping[str, str]) -> str:
    text = json.dumps(dict(sorted(members.items())), separators=(",", ":"))
    digest = hashlib.sha256(text.encode()).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def _parse(item: dict[str, Any]) -> VerificationKey | None:
    kind = item.get("kty")
    if kind not in _MEMBERS or item.get("use", "sig") != "sig":
        return None
    operations = item.get("key_ops", ["verify"])
    if not isinstance(operations, list) or "verify" not in operations:
        return None
    members = {name: item.get(name) for name in _MEMBERS[kind]}
    if not all(isinstance(value, str) for value in members.values()):
        return None
    key = _import(kind, {name: str(value) for name, value in members.items()})
    if key is None:
        return None
    algorithm = item.get("alg", _BY_CURVE.get(str(item.get("crv")), "RS256"))
    algorithm = "EdDSA" if algorithm == "Ed25519" else algorithm
    kid = item.get("kid") or thumbprint(key)
    if not isinstance(kid, str) or len(kid) > MAX_KID_BYTES or not fits(key, str(algorithm)):
        return None
    return VerificationKey(kid=kid, algorithm=str(algorithm), key=key)


def _import(kind: str, members: dict[str, str]) -> PublicKey | None:
    """Return the key; None where it is not on its curve, too short, or not understood."""
    if len(members.get("n", "")) * 6 < MIN_RSA_BITS and kind == "RSA":
        return None
    importer = {"EC": ECKey, "RSA": RSAKey, "OKP": OKPKey}[kind]
    try:
        public: Any = importer.import_key(dict(members)).public_key  # type: ignore[attr-defined]
    except (JoseError, ValueError, KeyError, TypeError):
        return None
    algorithms = ("ES256", "ES384", "RS256", "EdDSA")
    return public if any(fits(public, algorithm) for algorithm in algorithms) else None
