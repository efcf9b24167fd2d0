"""SPIFFE bundle documents: what a trust domain publishes so that others can verify its workloads.

Source: SPIFFE Trust Domain and Bundle, section 4: a JWK set. An entry with `use: x509-svid` has one
CA certificate in `x5c` and no `kid`; one with `use: jwt-svid` has a `kid`. Entries of another use
or kind are passed over (4.2.2 and 4.2.3), as are entries that are broken; a document that breaks
the format itself is refused whole. A bundle does not name its trust domain: whoever fetched it
knows.
"""

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey, import_key

from meshwarden.identity.jwt_authority import JwtKey
from meshwarden.identity.model import TrustBundle
from meshwarden.identity.path import extension, verify_signing
from meshwarden.identity.pem import MIN_RSA_BITS
from meshwarden.kernel import InputError, VerificationError, parse_trust_domain
from meshwarden.kernel.strict_json import parse_object

REFRESH_HINT_S: Final = 300
"""How often others should ask again: the standard's own default."""

MAX_REFRESH_HINT_S: Final = 24 * 3600
MAX_BYTES: Final = 1024 * 1024
MAX_KEYS: Final = 256
MAX_SEQUENCE: Final = 2**64 - 1
VerificationKey = ECKey | RSAKey
_KID = re.compile(r"[\x21-\x7e]{1,256}")
_CURVES: Final = ("P-256", "P-384", "P-521")  # compared, not hashed: a stranger's value


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """What verifies the SVIDs of one trust domain, and nobody else's.

    Attributes:
        trust_domain: whose it is.
        certificates: the CA certificates of X.509-SVIDs; none: none of them is trusted.
        jwt_keys: the keys of JWT-SVIDs by `kid`; none: none of them is trusted.
        sequence: grows with each change; None where the document does not say.
        refresh_hint_s: seconds after which to ask again; None where the document does not say.
    """

    trust_domain: str
    certificates: tuple[x509.Certificate, ...] = ()
    jwt_keys: Mapping[str, VerificationKey] = field(default_factory=dict)
    sequence: int | None = None
    refresh_hint_s: int | None = None

    @property
    def roots(self) -> TrustBundle:
        """The roots of X.509-SVIDs."""
        return TrustBundle(trust_domain=self.trust_domain, certificates=self.certificates)

    @property
    def der(self) -> bytes:
        """The CA certificates as DER, one after another."""
        return b"".join(one.public_bytes(Encoding.DER) for one in self.certificates)


def build_bundle(
    roots: TrustBundle,
    jwt_keys: tuple[JwtKey, ...],
    *,
    sequence: int,
    refresh_hint_s: int = REFRESH_HINT_S,
) -> Bundle:
    """Return the bundle of our own trust domain."""
    return Bundle(
        trust_domain=roots.trust_domain,
        certificates=roots.certificates,
        jwt_keys=MappingProxyType(
            {one.kid: ECKey.import_key(one.key.public_key()) for one in jwt_keys}
        ),
        sequence=sequence,
        refresh_hint_s=refresh_hint_s,
    )


def render_bundle(bundle: Bundle) -> dict[str, Any]:
    """Return the document, to be written as JSON."""
    keys: list[dict[str, Any]] = [_x509_entry(one) for one in bundle.certificates]
    keys += render_jwt_keys(bundle)["keys"]
    document: dict[str, Any] = {"keys": keys}
    if bundle.sequence is not None:
        document["spiffe_sequence"] = bundle.sequence
    if bundle.refresh_hint_s is not None:
        document["spiffe_refresh_hint"] = bundle.refresh_hint_s
    return document


def render_jwt_keys(bundle: Bundle) -> dict[str, list[dict[str, Any]]]:
    """Return the keys of JWT-SVIDs alone as a JWK set: what the Workload API hands out."""
    return {"keys": [_jwt_entry(kid, key) for kid, key in bundle.jwt_keys.items()]}


def parse_bundle(raw: bytes, trust_domain: str, *, where: str) -> Bundle:
    """Return the bundle of `trust_domain` in the document `raw`.

    Raises:
        InputError: `bundle.format` where the document breaks the format; nothing is taken over.
    """
    parse_trust_domain(trust_domain)
    if len(raw) > MAX_BYTES:
        raise _refused(where, f"larger than {MAX_BYTES} bytes")
    try:
        document = parse_object(raw)
    except (ValueError, RecursionError) as error:
        raise _refused(where, f"not readable as JSON: {str(error)[:120]}") from error
    entries = document.get("keys")
    if not isinstance(entries, list) or not all(isinstance(one, dict) for one in entries):
        raise _refused(where, "`keys` must be a list of objects (4.1.3)")
    if len(entries) > MAX_KEYS:
        raise _refused(where, f"more than {MAX_KEYS} keys")
    certificates: list[x509.Certificate] = []
    jwt_keys: dict[str, VerificationKey] = {}
    for entry in entries:
        if entry.get("use") == "x509-svid":
            certificate = _certificate(entry)
            if certificate is not None and certificate not in certificates:
                certificates.append(certificate)
        elif entry.get("use") == "jwt-svid" and (found := _jwt_key(entry)) is not None:
            kid, key = found
            if kid in jwt_keys:
                raise _refused(where, f"two keys have the same kid {kid[:40]!r}")
            jwt_keys[kid] = key
    hint = _integer(document, "spiffe_refresh_hint", where, MAX_SEQUENCE)
    return Bundle(
        trust_domain=trust_domain,
        certificates=tuple(certificates),
        jwt_keys=MappingProxyType(jwt_keys),
        sequence=_integer(document, "spiffe_sequence", where, MAX_SEQUENCE),
        refresh_hint_s=None if hint is None else min(hint, MAX_REFRESH_HINT_S),
    )


def _integer(document: Mapping[str, Any], name: str, where: str, highest: int) -> int | None:
    value = document.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= highest:
        raise _refused(where, f"{name} must be a whole number from 0 to {highest}")
    return value


def _certificate(entry: Mapping[str, Any]) -> x509.Certificate | None:
    """Return the CA certificate of an entry; None where it is to be passed over."""
    chain = entry.get("x5c")
    if not isinstance(chain, list) or len(chain) != 1 or not isinstance(chain[0], str):
        return None  # 4.2.2: exactly one certificate
    if "kid" in entry:
        return None
    try:
        found = x509.load_der_x509_certificate(base64.b64decode(chain[0], validate=True))
        verify_signing(found, below=0)  # X509-SVID 4.1, 4.3
        if not _is_strong(found.public_key()) or not _names_match(entry, found):
            return None
        extension(found, x509.NameConstraints)  # parsed now, so that nothing later fails on it
    except (ValueError, TypeError, UnsupportedAlgorithm, VerificationError, x509.DuplicateExtension,
            x509.UnsupportedGeneralNameType):  # fmt: skip
        return None
    return found


def _names_match(entry: Mapping[str, Any], certificate: x509.Certificate) -> bool:
    """Return whether the entry's own key is the certificate's (RFC 7517, 4.7)."""
    try:
        own = import_key(_plain(entry))
    except (JoseError, ValueError, TypeError, KeyError, binascii.Error):
        return False
    if not isinstance(own, ECKey | RSAKey):
        return False
    public: object = own.public_key
    return bool(public == certificate.public_key())


def _jwt_key(entry: Mapping[str, Any]) -> tuple[str, VerificationKey] | None:
    kid, kind, curve = entry.get("kid"), entry.get("kty"), entry.get("crv")
    if not isinstance(kid, str) or not _KID.fullmatch(kid) or kind not in ("EC", "RSA"):
        return None
    if kind == "EC" and curve not in _CURVES:
        return None
    try:
        key = import_key(_plain(entry))
    except (JoseError, ValueError, TypeError, KeyError, binascii.Error):
        return None
    if not isinstance(key, ECKey | RSAKey) or not _is_strong(key.public_key):
        return None
    return kid, key


def _plain(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return the public parameters alone: a private key in a bundle is nobody's business."""
    names = ("kty", "crv", "x", "y", "n", "e")
    found = {name: entry[name] for name in names if name in entry}
    if not all(isinstance(value, str) for value in found.values()):
        raise ValueError("a parameter is no text")
    return found


def _is_strong(key: object) -> bool:
    if isinstance(key, rsa.RSAPublicKey):
        return MIN_RSA_BITS <= key.key_size <= 8192
    return isinstance(key, ec.EllipticCurvePublicKey)


def _x509_entry(certificate: x509.Certificate) -> dict[str, Any]:
    key = certificate.public_key()
    if isinstance(key, ec.EllipticCurvePublicKey):
        public: VerificationKey = ECKey.import_key(key)
    elif isinstance(key, rsa.RSAPublicKey):
        public = RSAKey.import_key(key)
    else:
        raise VerificationError("identity.key_kind", "a CA's key is neither ECDSA nor RSA")
    raw = base64.b64encode(certificate.public_bytes(Encoding.DER)).decode()
    return _public(public) | {"use": "x509-svid", "x5c": [raw]}


def _jwt_entry(kid: str, key: VerificationKey) -> dict[str, Any]:
    return _public(key) | {"use": "jwt-svid", "kid": kid}


def _public(key: VerificationKey) -> dict[str, Any]:
    found = dict(key.as_dict(private=False))
    return {name: found[name] for name in ("kty", "crv", "x", "y", "n", "e") if name in found}


def _refused(where: str, why: str) -> InputError:
    return InputError(
        "bundle.format", f"is no SPIFFE bundle document: {why}", where=where,
        hint="the last good bundle stays in force",
    )  # fmt: skip
