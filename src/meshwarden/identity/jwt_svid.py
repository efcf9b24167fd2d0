"""JWT-SVIDs: bearer tokens of minutes that name a workload to one audience.

Sources: SPIFFE JWT-SVID; RFC 7515, RFC 7519, RFC 8725. Issued with ES256 and a `kid`. Verified with
the keys of the subject's own trust domain alone. What a header says never chooses the key's kind or
fetches a key; only `alg`, `kid` and `typ` may stand there.
"""

import binascii
import json
import math
import re
from base64 import urlsafe_b64decode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import ec
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey

from meshwarden.identity.bundle import Bundle, VerificationKey
from meshwarden.identity.jwt_authority import JwtKey
from meshwarden.kernel import ConfigError, InputError, SpiffeId, VerificationError
from meshwarden.kernel.strict_json import parse_object

LIFETIME_S: Final = 300
"""Five minutes: a bearer token can be replayed by whoever sees it."""

MAX_LIFETIME_S: Final = 3600
SKEW: Final = timedelta(seconds=30)
"""How far another machine's clock may be ahead of ours; nothing is added to the end of a life."""

MAX_TOKEN_BYTES: Final = 8192
MAX_AUDIENCES: Final = 16
MAX_AUDIENCE_BYTES: Final = 1024
_PART = re.compile(r"[A-Za-z0-9_-]+")
_BY_CURVE: Final = {"P-256": "ES256", "P-384": "ES384", "P-521": "ES512"}
_BY_RSA: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
ALGORITHMS: Final = frozenset({*_BY_CURVE.values(), *_BY_RSA})


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedJwtSvid:
    """A token that holds: whom it names, and all that it says."""

    identity: SpiffeId
    claims: Mapping[str, Any]


def issue_jwt_svid(
    key: JwtKey,
    identity: SpiffeId,
    audience: Sequence[str],
    *,
    now: datetime,
    lifetime_s: int = LIFETIME_S,
) -> str:
    """Return a JWT-SVID for `identity`, meant for `audience`.

    Raises:
        ConfigError: `identity.audience` where there is none, too many, or an empty or long one;
            `identity.lifetime` where it is not 1 to 3,600 seconds.
    """
    require_audience(audience)
    if not 1 <= lifetime_s <= MAX_LIFETIME_S:
        raise ConfigError(
            "identity.lifetime", f"a JWT-SVID lives 1 to {MAX_LIFETIME_S} seconds, not {lifetime_s}"
        )
    issued = int(now.timestamp())
    claims = {
        "sub": str(identity),
        "aud": list(dict.fromkeys(audience)),
        "iat": issued,
        "exp": issued + lifetime_s,
    }
    return jws.serialize_compact(
        {"alg": "ES256", "kid": key.kid, "typ": "JWT"},
        _render(claims),
        ECKey.import_key(key.key),
        algorithms=["ES256"],
    )


def require_audience(audience: Sequence[str]) -> None:
    """Raise ConfigError `identity.audience` where no token can be meant for `audience`."""
    lengths = [len(one.encode()) for one in audience]
    if not 1 <= len(lengths) <= MAX_AUDIENCES or not all(
        1 <= length <= MAX_AUDIENCE_BYTES for length in lengths
    ):
        raise ConfigError(
            "identity.audience",
            f"a JWT-SVID is meant for 1 to {MAX_AUDIENCES} audiences of 1 to {MAX_AUDIENCE_BYTES}"
            " bytes each",
        )


def verify_jwt_svid(
    unverified: str,
    bundles: Mapping[str, Bundle],
    *,
    audience: str,
    now: datetime,
    ended: Callable[[SpiffeId], datetime | None] = lambda _: None,
) -> VerifiedJwtSvid:
    """Return what the token proves.

    Steps:

    1. size, form and header (JWS compact; `alg` listed; `typ` JWT, JOSE or none; nothing else);
    2. the subject, unproven yet, which says whose bundle to take;
    3. the signature, with a key of that bundle whose kind fits `alg`;
    4. audience and times;
    5. whether it was ended before its time.

    Args:
        unverified: the token.
        bundles: by trust domain; the subject's own is taken, never another.
        audience: whom the token must be meant for.
        now: the time of day.
        ended: until when issued tokens of an identity count no more; None: all count.

    Raises:
        VerificationError: `jwt.form`, `jwt.header`, `jwt.subject`, `jwt.untrusted`,
            `jwt.signature`, `jwt.audience`, `jwt.expired`, `jwt.not_yet_valid`, `jwt.revoked`.
    """
    header, unverified_claims = _parse(unverified)  # 1
    identity = _subject(unverified_claims)  # 2
    bundle = bundles.get(identity.trust_domain)
    if bundle is None or bundle.trust_domain != identity.trust_domain:
        raise _refused("jwt.untrusted", "no bundle is known for the trust domain of the subject")
    _verify_signature(unverified, header, bundle)  # 3
    _verify_audience(unverified_claims, audience)  # 4
    _verify_times(unverified_claims, now)
    if is_ended(_number(unverified_claims, "iat"), ended(identity)):  # 5
        raise _refused("jwt.revoked", "the tokens that its subject had by then were revoked")
    return VerifiedJwtSvid(identity=identity, claims=unverified_claims)


def is_ended(issued: float | None, end: datetime | None) -> bool:
    """Return whether a token is among those that were issued until `end`; unknown is yes.

    Tokens tell the second of their issuance, so the whole second of `end` counts as before it.

    Args:
        issued: seconds since the epoch; None: it does not say.
        end: None: nothing was ended.
    """
    return end is not None and (issued is None or int(issued) <= int(end.timestamp()))


def _parse(unverified: str) -> tuple[dict[str, Any], dict[str, Any]]:
    parts = unverified.split(".") if len(unverified) <= MAX_TOKEN_BYTES else []
    if len(parts) != 3 or not all(_PART.fullmatch(part) for part in parts):
        raise _refused("jwt.form", "the token is not a JWS in compact form (JWT-SVID 2)")
    try:
        header, claims = (parse_object(_decode(part)) for part in parts[:2])
        _decode(parts[2])
    except (ValueError, RecursionError) as error:
        raise _refused("jwt.form", f"the token cannot be read: {str(error)[:80]}") from error
    if not all(isinstance(header.get(name, ""), str) for name in ("alg", "kid", "typ")):
        raise _refused("jwt.header", "alg, kid and typ are texts (RFC 7515, 4.1)")
    if header.get("alg") not in ALGORITHMS:
        raise _refused("jwt.header", "its algorithm is not one of JWT-SVID 2.1 (RFC 8725, 3.1)")
    if header.get("typ", "JWT") not in {"JWT", "JOSE"}:
        raise _refused("jwt.header", "its type is neither JWT nor JOSE (2.3)")
    if set(header) - {"alg", "kid", "typ"}:
        raise _refused("jwt.header", "its header has more than alg, kid and typ (2)")
    return header, claims


def _decode(part: str) -> bytes:
    try:
        raw = urlsafe_b64decode(part + "=" * (-len(part) % 4))
    except binascii.Error as error:
        raise ValueError("not base64url") from error
    return raw


def _subject(claims: Mapping[str, Any]) -> SpiffeId:
    subject = claims.get("sub")
    if not isinstance(subject, str):
        raise _refused("jwt.subject", "its subject is no SPIFFE ID (3.1)")
    try:
        return SpiffeId.parse(subject)
    except InputError as error:
        raise _refused("jwt.subject", "its subject is no SPIFFE ID (3.1)") from error


def _verify_signature(unverified: str, header: Mapping[str, Any], bundle: Bundle) -> None:
    algorithm, kid = header["alg"], header.get("kid")
    if kid is None:
        candidates = list(bundle.jwt_keys.values())
    else:
        candidates = [bundle.jwt_keys[kid]] if kid in bundle.jwt_keys else []
    for key in candidates:
        if algorithm in _algorithms_of(key) and _holds(unverified, key, algorithm):
            return
    raise _refused("jwt.signature", "no key of the subject's trust domain signed it (4)")


def _algorithms_of(key: VerificationKey) -> Sequence[str]:
    """Return what the key may verify: decided by the key, not by the token (RFC 8725, 3.1)."""
    public: object = key.public_key
    if isinstance(public, ec.EllipticCurvePublicKey):
        return (_BY_CURVE[f"P-{public.key_size}"],)
    return _BY_RSA


def _holds(unverified: str, key: VerificationKey, algorithm: str) -> bool:
    try:
        jws.deserialize_compact(unverified, key, algorithms=[algorithm])
    except (JoseError, ValueError):
        return False
    return True


def _verify_audience(claims: Mapping[str, Any], audience: str) -> None:
    found = claims.get("aud")
    meant = [found] if isinstance(found, str) else found
    texts = isinstance(meant, list) and all(isinstance(one, str) for one in meant)
    if not audience or not texts or audience not in (meant or []):
        raise _refused("jwt.audience", "it is meant for someone else (3.2)")


def _verify_times(claims: Mapping[str, Any], now: datetime) -> None:
    moment = now.astimezone(UTC).timestamp()
    expires = _number(claims, "exp")
    if expires is None or moment >= expires:
        raise _refused("jwt.expired", "it has expired, or does not say when (3.3)")
    for name in ("nbf", "iat"):
        starts = _number(claims, name)
        if starts is not None and moment + SKEW.total_seconds() < starts:
            raise _refused("jwt.not_yet_valid", f"its {name} lies in the future")


def _number(claims: Mapping[str, Any], name: str) -> float | None:
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) > 2**53:
        raise _refused("jwt.form", f"its {name} is no time")
    if not math.isfinite(value):
        raise _refused("jwt.form", f"its {name} is no time")
    return float(value)


def _render(claims: Mapping[str, Any]) -> bytes:
    return json.dumps(claims, separators=(",", ":")).encode()


def _refused(code: str, why: str) -> VerificationError:
    return VerificationError(code, f"the JWT-SVID is refused: {why}")
