"""JWT-SVIDs: what holds, and every way in which one does not (JWT-SVID; RFC 8725)."""

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from joserfc import jws
from joserfc.jwk import ECKey, RSAKey

from meshwarden.identity import (
    Bundle,
    TrustBundle,
    build_bundle,
    create_key,
    issue_jwt_svid,
    verify_jwt_svid,
)
from meshwarden.kernel import ConfigError, SpiffeId, VerificationError

NOW = datetime(2026, 11, 3, 12, 0, 0, 250_000, tzinfo=UTC)
IDENTITY = SpiffeId.parse("spiffe://bank.example/ledger")
KEY = create_key(NOW)
OTHER = create_key(NOW)
RSA = rsa.generate_private_key(65537, 2048)


def bundle_of(domain: str, *keys: Any) -> Bundle:
    return build_bundle(TrustBundle(trust_domain=domain, certificates=()), keys, sequence=1)


OWN = bundle_of("bank.example", KEY)
WITH_RSA = Bundle(
    trust_domain="bank.example",
    jwt_keys={"rsa": RSAKey.import_key(RSA.public_key()), **OWN.jwt_keys},
)
BUNDLES = {"bank.example": OWN, "partner.example": bundle_of("partner.example", OTHER)}
CLAIMS: dict[str, Any] = {
    "sub": str(IDENTITY),
    "aud": ["payments"],
    "iat": int(NOW.timestamp()),
    "exp": int(NOW.timestamp()) + 300,
}


def b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def token(header: Any = None, claims: Any = None, key: Any = KEY, **changed: Any) -> str:
    """Return a token signed like ours, but with another header or other claims."""
    header = {"alg": "ES256", "kid": key.kid, "typ": "JWT"} if header is None else header
    body = claims if claims is not None else CLAIMS | changed
    body = {name: value for name, value in body.items() if value is not ...} if isinstance(
        body, dict) else body  # fmt: skip
    raw = header if isinstance(header, str) else json.dumps(header)
    text = body if isinstance(body, str) else json.dumps(body)
    signed = f"{b64(raw.encode())}.{b64(text.encode())}"
    r, s = decode_dss_signature(key.key.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
    return f"{signed}.{b64(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"


def forged_hmac() -> str:
    """The public key as a shared secret (RFC 8725, 2.1)."""
    public = KEY.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    header = {"alg": "HS256", "kid": KEY.kid}
    signed = f"{b64(json.dumps(header).encode())}.{b64(json.dumps(CLAIMS).encode())}"
    return f"{signed}.{b64(hmac.new(public, signed.encode(), hashlib.sha256).digest())}"


def unsigned(alg: str) -> str:
    header = {"alg": alg, "kid": KEY.kid}
    return f"{b64(json.dumps(header).encode())}.{b64(json.dumps(CLAIMS).encode())}."


def header(**more: Any) -> dict[str, Any]:
    return {"alg": "ES256", "kid": KEY.kid, "typ": "JWT"} | more


GOOD = issue_jwt_svid(KEY, IDENTITY, ["payments"], now=NOW)
HEAD, BODY, SIGNATURE = GOOD.split(".")


def test_what_is_issued_proves_the_identity() -> None:
    found = verify_jwt_svid(GOOD, BUNDLES, audience="payments", now=NOW)
    assert found.identity == IDENTITY
    assert found.claims == CLAIMS


def test_a_token_without_kid_is_tried_with_each_fitting_key() -> None:
    bundles = {"bank.example": bundle_of("bank.example", OTHER, KEY)}
    bare = token({"alg": "ES256"})
    assert verify_jwt_svid(bare, bundles, audience="payments", now=NOW).identity == IDENTITY


@pytest.mark.parametrize("algorithm", ["RS256", "PS384"])
def test_rsa_keys_of_other_issuers_verify(algorithm: str) -> None:
    signed = jws.serialize_compact(
        {"alg": algorithm, "kid": "rsa"},
        json.dumps(CLAIMS).encode(),
        RSAKey.import_key(RSA),
        algorithms=[algorithm],
    )
    bundles = {"bank.example": WITH_RSA}
    assert verify_jwt_svid(signed, bundles, audience="payments", now=NOW).identity == IDENTITY


def test_a_key_verifies_only_the_algorithm_of_its_own_kind() -> None:
    """A P-384 key's token that claims ES256, and an RSA kid under ES256."""
    large = ec.generate_private_key(ec.SECP384R1())
    keys = {"large": ECKey.import_key(large.public_key())}
    bundles = {"bank.example": Bundle(trust_domain="bank.example", jwt_keys=keys)}
    for kid, found in (("large", bundles), ("rsa", {"bank.example": WITH_RSA})):
        with pytest.raises(VerificationError) as refused:
            verify_jwt_svid(token(header(kid=kid)), found, audience="payments", now=NOW)
        assert refused.value.code == "jwt.signature"


@pytest.mark.parametrize(
    ("unverified", "code"),
    [
        pytest.param("", "jwt.form", id="empty"),
        pytest.param("a.b", "jwt.form", id="two parts"),
        pytest.param(f"{GOOD}.x.y", "jwt.form", id="encrypted form"),
        pytest.param(f"{HEAD}.{BODY}.", "jwt.form", id="no signature"),
        pytest.param(f"{HEAD}.{BODY}.{SIGNATURE}=", "jwt.form", id="padding"),
        pytest.param(f" {GOOD}", "jwt.form", id="space"),
        pytest.param(f"{GOOD}\n", "jwt.form", id="line end"),
        pytest.param(f"{HEAD}.{'A' * 9000}.{SIGNATURE}", "jwt.form", id="too long"),
        pytest.param(token("[]"), "jwt.form", id="header is a list"),
        pytest.param(token('{"alg":"ES256","alg":"none"}'), "jwt.form", id="name twice in header"),
        pytest.param(token(None, '{"sub":"a","sub":"b"}'), "jwt.form", id="name twice in claims"),
        pytest.param(token(None, "[" * 5000), "jwt.form", id="deep"),
        pytest.param(token(None, '{"exp":NaN}'), "jwt.form", id="NaN"),
        pytest.param(unsigned("none"), "jwt.form", id="none, unsigned"),
        pytest.param(unsigned("none") + "AA", "jwt.header", id="none"),
        pytest.param(unsigned("NONE") + "AA", "jwt.header", id="NONE"),
        pytest.param(forged_hmac(), "jwt.header", id="public key as secret"),
        pytest.param(token(header(alg="EdDSA")), "jwt.header", id="EdDSA is not on the list"),
        pytest.param(token(header(typ="at+jwt")), "jwt.header", id="another kind of token"),
        pytest.param(token(header(crit=["exp"])), "jwt.header", id="crit"),
        pytest.param(token(header(jku="https://evil.example")), "jwt.header", id="jku"),
        pytest.param(token(header(jwk={"kty": "EC"})), "jwt.header", id="jwk"),
        pytest.param(token(header(x5u="https://evil.example")), "jwt.header", id="x5u"),
        pytest.param(token(header(b64=False)), "jwt.header", id="b64"),
        pytest.param(token(header(alg=["ES256"])), "jwt.header", id="alg is a list"),
        pytest.param(token(header(typ={})), "jwt.header", id="typ is an object"),
        pytest.param(token(header(kid=7)), "jwt.header", id="kid is no text"),
        pytest.param(token(header(kid="../../dev/null")), "jwt.signature", id="unknown kid"),
        pytest.param(token(header(alg="ES384")), "jwt.signature", id="another curve's algorithm"),
        pytest.param(token(header(alg="RS256")), "jwt.signature", id="another kind's algorithm"),
        pytest.param(f"{HEAD}.{BODY}.{b64(bytes(64))}", "jwt.signature", id="zeros"),
        pytest.param(token(key=OTHER), "jwt.signature", id="another domain's key"),
        pytest.param(
            token(header(kid=KEY.kid), key=OTHER), "jwt.signature", id="another's key, our kid"
        ),
        pytest.param(
            token(sub="spiffe://partner.example/x"), "jwt.signature", id="our key, their subject"
        ),
        pytest.param(token(sub="spiffe://new.example/x"), "jwt.untrusted", id="unknown domain"),
        pytest.param(token(sub="ledger"), "jwt.subject", id="no SPIFFE ID"),
        pytest.param(token(sub="spiffe://bank.example"), "jwt.subject", id="domain's own ID"),
        pytest.param(token(sub=...), "jwt.subject", id="no subject"),
        pytest.param(token(aud="ledger"), "jwt.audience", id="for someone else"),
        pytest.param(token(aud=["payment"]), "jwt.audience", id="nearly"),
        pytest.param(token(aud=["payments", 1]), "jwt.audience", id="mixed"),
        pytest.param(token(aud={"payments": 1}), "jwt.audience", id="object"),
        pytest.param(token(aud=...), "jwt.audience", id="no audience"),
        pytest.param(token(exp=CLAIMS["iat"]), "jwt.expired", id="expired"),
        pytest.param(token(exp=...), "jwt.expired", id="no end"),
        pytest.param(token(exp="9999999999"), "jwt.form", id="end is a text"),
        pytest.param(token(exp=True), "jwt.form", id="end is true"),
        pytest.param(token(exp=1e300), "jwt.form", id="end is beyond all time"),
        pytest.param(token(iat=CLAIMS["iat"] + 60), "jwt.not_yet_valid", id="from the future"),
        pytest.param(token(nbf=CLAIMS["iat"] + 60), "jwt.not_yet_valid", id="not yet"),
    ],
)  # fmt: skip
def test_what_does_not_hold_is_refused(unverified: str, code: str) -> None:
    with pytest.raises(VerificationError) as refused:
        verify_jwt_svid(unverified, BUNDLES, audience="payments", now=NOW)
    assert refused.value.code == code
    assert SIGNATURE not in str(refused.value)


def test_a_token_ends_at_its_expiry_instant() -> None:
    end = NOW.replace(microsecond=0) + timedelta(seconds=300)
    verify_jwt_svid(GOOD, BUNDLES, audience="payments", now=end - timedelta(microseconds=1))
    with pytest.raises(VerificationError):
        verify_jwt_svid(GOOD, BUNDLES, audience="payments", now=end)


@pytest.mark.parametrize("audience", [[], [""], ["a"] * 17, ["a" * 1025], ["ä" * 513]])
def test_nothing_is_issued_for_nobody(audience: list[str]) -> None:
    with pytest.raises(ConfigError):
        issue_jwt_svid(KEY, IDENTITY, audience, now=NOW)


@pytest.mark.parametrize("lifetime_s", [0, -1, 3601])
def test_nothing_is_issued_for_too_long(lifetime_s: int) -> None:
    with pytest.raises(ConfigError):
        issue_jwt_svid(KEY, IDENTITY, ["a"], now=NOW, lifetime_s=lifetime_s)


@pytest.mark.parametrize(
    ("ended", "holds"),
    [
        (None, True),
        (NOW - timedelta(seconds=1), True),
        (NOW.replace(microsecond=0), False),  # a token tells its second alone
        (NOW + timedelta(minutes=2), False),
        (datetime.max.replace(tzinfo=UTC), False),
    ],
)
def test_one_that_was_ended_with_its_identity_is_refused(
    ended: datetime | None, holds: bool
) -> None:
    unverified = issue_jwt_svid(KEY, IDENTITY, ["payments"], now=NOW)
    asked: list[SpiffeId] = []

    def _ended(identity: SpiffeId) -> datetime | None:
        asked.append(identity)
        return ended

    def _verify() -> object:
        return verify_jwt_svid(unverified, BUNDLES, audience="payments", now=NOW, ended=_ended)

    if holds:
        _verify()
    else:
        with pytest.raises(VerificationError) as refused:
            _verify()
        assert refused.value.code == "jwt.revoked"
    assert asked == [IDENTITY]


def test_one_that_does_not_say_when_it_was_issued_ends_with_all_others() -> None:
    claims = {name: value for name, value in CLAIMS.items() if name != "iat"}
    long_ago = NOW - timedelta(days=300)
    verify_jwt_svid(token(claims=claims), BUNDLES, audience="payments", now=NOW)
    with pytest.raises(VerificationError) as refused:
        verify_jwt_svid(
            token(claims=claims), BUNDLES, audience="payments", now=NOW, ended=lambda _: long_ago
        )
    assert refused.value.code == "jwt.revoked"
