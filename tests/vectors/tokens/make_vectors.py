"""Writes `txn-tokens.json`: RFC 8725's list and our own cases as tokens, with what each must give.

Run it only to add cases: keys are drawn anew, so that every token changes.

    python -m tests.vectors.tokens.make_vectors
"""

import hashlib
import hmac
import json
from base64 import urlsafe_b64encode
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils

from meshwarden.tokens import create_key, render_jwks
from meshwarden.tokens.jwks import render_jwk
from meshwarden.tokens.keys import SigningKey

NOW = 1795449600
START = datetime.fromtimestamp(NOW - 3600, UTC)
CLAIMS: dict[str, Any] = {
    "iss": "https://tokens.bank.example",
    "aud": "bank.example",
    "iat": NOW - 5,
    "exp": NOW + 25,
    "txn": "0f2b7a52-5d1c-4a0e-9f0e-6a2b0a4f9c11",
    "sub": "8f21",
    "scope": "transfer:write",
    "req_wl": "spiffe://bank.example/ns/edge/sa/gateway",
    "acr": "mfa",
    "auth_time": NOW - 60,
    "tctx": {"amount_minor": 4200},
    "rctx": {"req_ip": "203.0.113.9"},
}


def b64(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def raw_token(key: SigningKey, header: str, payload: str) -> str:
    """Return a token over these very bytes, whatever a JSON library would make of them."""
    signed = f"{b64(header.encode())}.{b64(payload.encode())}"
    assert isinstance(key.key, ec.EllipticCurvePrivateKey)
    r, s = utils.decode_dss_signature(key.key.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
    return f"{signed}.{b64(r.to_bytes(32) + s.to_bytes(32))}"


def token(key: SigningKey, header: dict[str, Any] | None = None, **claims: Any) -> str:
    """Return a token with these members changed; None takes one away."""
    head: dict[str, Any] = {"alg": "ES256", "kid": key.kid, "typ": "txntoken+jwt"} | (header or {})
    body = CLAIMS | claims
    head = {name: value for name, value in head.items() if value is not None}
    body = {name: value for name, value in body.items() if value is not None}
    return raw_token(key, json.dumps(head), json.dumps(body))


def cases(key: SigningKey, other: SigningKey) -> list[tuple[str, str, str | None]]:
    good = token(key)
    head, body, signature = good.split(".")
    public = json.dumps(render_jwk(key.public)).encode()
    h256 = f"{b64(json.dumps({'alg': 'HS256', 'kid': key.kid, 'typ': 'txntoken+jwt'}).encode())}.{body}"
    mac = hmac.new(public, h256.encode(), hashlib.sha256).digest()
    none = b64(json.dumps({"alg": "none", "typ": "txntoken+jwt"}).encode())
    text = json.dumps(CLAIMS)
    headtext = json.dumps({"alg": "ES256", "kid": key.kid, "typ": "txntoken+jwt"})
    deep = "[" * 40 + "]" * 40
    return [
        ("a right token", good, None),
        ("typ with application/", token(key, {"typ": "application/txntoken+jwt"}), None),
        ("audience in a list", token(key, aud=["bank.example"]), None),
        ("no issuer", token(key, iss=None), "token.issuer"),
        ("alg none, no signature", f"{none}.{body}.", "token.form"),
        ("alg none with a signature", f"{none}.{body}.{signature}", "token.algorithm"),
        ("alg None in other letters", token(key, {"alg": "nOnE"}), "token.algorithm"),
        ("HMAC with the public key", f"{h256}.{b64(mac)}", "token.algorithm"),
        ("embedded jwk", token(other, {"jwk": render_jwk(other.public)}), "token.header"),
        ("x5c", token(key, {"x5c": ["MIIB"]}), "token.header"),
        ("jku", token(key, {"jku": "https://evil.example/jwks"}), "token.header"),
        ("x5u", token(key, {"x5u": "https://evil.example/x"}), "token.header"),
        ("kid with SQL", token(key, {"kid": "' OR 1=1 --"}), "token.key"),
        ("kid with a path", token(key, {"kid": "../../../../dev/null"}), "token.key"),
        ("kid is no text", token(key, {"kid": 7}), "token.header"),
        ("kid is long", token(key, {"kid": "k" * 300}), "token.header"),
        ("no kid", token(key, {"kid": None}), "token.key"),
        ("signed by another key", token(other, {"kid": key.kid}), "token.signature"),
        ("key of another algorithm", token(key, {"alg": "RS256"}), "token.algorithm"),
        ("crit", token(key, {"crit": ["exp"], "exp": 1}), "token.header"),
        ("b64 false", token(key, {"b64": False}), "token.header"),
        ("zip", token(key, {"zip": "DEF"}), "token.header"),
        ("unknown header", token(key, {"foo": "bar"}), "token.header"),
        ("no typ", token(key, {"typ": None}), "token.type"),
        ("typ JWT", token(key, {"typ": "JWT"}), "token.type"),
        ("typ at+jwt", token(key, {"typ": "at+jwt"}), "token.type"),
        ("typ of an older draft", token(key, {"typ": "txn_token"}), "token.type"),
        ("changed payload", f"{head}.{b64(text.replace('4200', '9999').encode())}.{signature}", "token.signature"),
        ("two parts", f"{head}.{body}", "token.form"),
        ("five parts, as JWE has", f"{head}.{body}.{signature}.{body}.{signature}", "token.form"),
        ("JSON serialization", json.dumps({"payload": body, "signatures": []}), "token.form"),
        ("padding", f"{head}.{body}.{signature}==", "token.form"),
        ("plus and slash", f"{head}.{body}.{signature[:-2]}+/", "token.form"),
        ("base64url with spare bits", f"{head}.{body}.{signature[:-1]}{'B' if signature[-1] == 'A' else chr(ord(signature[-1]) + 1)}", "token.form"),
        ("line break", f"{head}.{body}.{signature}\n", "token.form"),
        ("two tokens joined", f"{good},{good}", "token.form"),
        ("empty", "", "token.form"),
        ("over-long", token(key, tctx={"x": "x" * 9000}), "token.form"),
        ("duplicate claim", raw_token(key, headtext, text[:-1] + ', "sub": "other"}'), "token.form"),
        ("duplicate claim inside", raw_token(key, headtext, text.replace('{"amount_minor": 4200}', '{"a": 1, "a": 2}')), "token.form"),
        ("duplicate header", raw_token(key, headtext[:-1] + ', "alg": "ES256"}', text), "token.form"),
        ("deep nesting", raw_token(key, headtext, text[:-1] + f', "x": {deep}}}'), "token.form"),
        ("claims are a list", raw_token(key, headtext, "[]"), "token.form"),
        ("NaN", raw_token(key, headtext, text.replace(str(NOW + 25), "NaN")), "token.form"),
        ("no UTF-8", f"{head}.{b64(bytes([0xFF, 0xFE]))}.{signature}", "token.form"),
        ("wrong audience", token(key, aud="shop.example"), "token.audience"),
        ("wrong audiences", token(key, aud=["shop.example", "x"]), "token.audience"),
        ("audience is a number", token(key, aud=5), "token.audience"),
        ("no audience", token(key, aud=None), "token.audience"),
        ("expired this very second", token(key, exp=NOW), "token.expired"),
        ("expired long ago", token(key, iat=NOW - 900, exp=NOW - 800), "token.expired"),
        ("no exp", token(key, exp=None), "token.claims"),
        ("exp is a text", token(key, exp=str(NOW + 25)), "token.claims"),
        ("exp is true", token(key, exp=True), "token.claims"),
        ("exp is huge", token(key, exp=1e300), "token.claims"),
        ("not yet issued", token(key, iat=NOW + 31, exp=NOW + 60), "token.not_yet_valid"),
        ("issued by a clock that is ahead", token(key, iat=NOW + 29, exp=NOW + 60), None),
        ("not before", token(key, nbf=NOW + 40), "token.not_yet_valid"),
        ("lives too long", token(key, exp=NOW + 3600), "token.lifetime"),
        ("ends before it begins", token(key, iat=NOW + 20, exp=NOW + 10), "token.lifetime"),
        ("no txn", token(key, txn=None), "token.claims"),
        ("no sub", token(key, sub=None), "token.claims"),
        ("sub is a number", token(key, sub=8), "token.claims"),
        ("sub with a control character", token(key, sub="a\u0000b"), "token.claims"),
        ("no scope", token(key, scope=None), "token.claims"),
        ("scope is a list", token(key, scope=["transfer:write"]), "token.claims"),
        ("no req_wl", token(key, req_wl=None), "token.claims"),
        ("req_wl is no SPIFFE ID", token(key, req_wl="gateway"), "token.claims"),
        ("req_wl as a list", token(key, req_wl=["spiffe://bank.example/x"]), "token.historic"),
        ("purp", token(key, purp="transfer"), "token.historic"),
        ("purpose", token(key, purpose="transfer"), "token.historic"),
        ("azd", token(key, azd={"a": 1}), "token.historic"),
        ("req_ctx", token(key, req_ctx={"a": 1}), "token.historic"),
        ("sub_id", token(key, sub_id={"format": "opaque", "id": "1"}), "token.historic"),
        ("tctx is a list", token(key, tctx=[1]), "token.claims"),
        ("another issuer", token(key, iss="https://evil.example"), "token.issuer"),
    ]  # fmt: skip


def main() -> None:
    key, other = create_key(START), create_key(START)
    document = {
        "note": "OAuth Transaction Tokens; RFC 8725 and its revision; RFC 7515; RFC 7519",
        "now": NOW,
        "trust_domain": CLAIMS["aud"],
        "issuer": CLAIMS["iss"],
        "jwks": json.loads(render_jwks([key.public])),
        "cases": [
            {"note": note, "token": text, "expected": expected}
            for note, text, expected in cases(key, other)
        ],
    }
    target = Path(__file__).parent / "txn-tokens.json"
    target.write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
