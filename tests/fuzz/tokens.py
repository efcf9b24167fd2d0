"""A coverage-guided fuzzer for every parser of tokens that come from outside.

    pip install atheris && python -m tests.fuzz.tokens -max_total_time=300 [CORPUS]

The first octet chooses the parser; the rest is its input. What is claimed: each ends in a value or
in its own kind of error, and nothing that no key of ours signed is ever accepted. A crash is
written to a file, which as an argument is tried again. Not a part of the test suite: it needs
`atheris`, and has no end of its own.
"""

import json
import sys
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import atheris
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

with atheris.instrument_imports(include=["meshwarden.tokens", "meshwarden.kernel"]):
    from meshwarden.kernel import InputError
    from meshwarden.kernel.strict_json import parse_object
    from meshwarden.tokens import (
        Expected,
        Issuer,
        TokenError,
        UnverifiedToken,
        create_key,
        parse_jwks,
        parse_request,
        verify_txn_token,
    )
    from meshwarden.tokens.edge import parse_bearer, parse_body, parse_query
    from meshwarden.tokens.explain import inspect_token
    from meshwarden.tokens.jws import parse_compact
    from meshwarden.tokens.signals.verify import verify_set
    from meshwarden.tokens.subject import verify_access_token

VECTORS: Final = Path(__file__).parents[1] / "vectors" / "tokens" / "txn-tokens.json"
DOCUMENT: Final[dict[str, Any]] = json.loads(VECTORS.read_text())
KEYS: Final = parse_jwks(json.dumps(DOCUMENT["jwks"]).encode(), where="vectors")
EXPECTED: Final = Expected(trust_domain=DOCUMENT["trust_domain"], issuer=DOCUMENT["issuer"])
NOW: Final = datetime.fromtimestamp(DOCUMENT["now"], UTC)
GOOD: Final[str] = DOCUMENT["cases"][0]["token"]
OURS: Final = create_key(NOW)
SESSION_REVOKED: Final = "https://schemas.openid.net/secevent/caep/event-type/session-revoked"
ISSUER: Final = Issuer(issuer="https://idp.example", audience="https://api.example")


def unsigned(raw: bytes) -> None:
    """Any text as a transaction token: it passes only if it is the good one."""
    text = raw.decode("latin-1")
    inspect_token(UnverifiedToken(text), now=NOW)
    try:
        verify_txn_token(UnverifiedToken(text), KEYS, EXPECTED, now=NOW)
    except TokenError:
        return
    assert text == GOOD, "accepted what nobody signed"


def signed(raw: bytes) -> None:
    """Any header and claims under a right signature: whatever passes is ours and in its time."""
    header, _, claims = raw.partition(b"\0")
    found = _signed(header, claims)
    try:
        token = verify_txn_token(found, {OURS.kid: OURS.public}, EXPECTED, now=NOW)
    except TokenError:
        return
    parsed = parse_object(header)
    assert parsed["alg"] == "ES256"
    assert parsed["kid"] == OURS.kid
    assert token.claims.expires > NOW.timestamp() - 60


def access_token(raw: bytes) -> None:
    """The same of an identity provider's token."""
    header, _, claims = raw.partition(b"\0")
    keys = {OURS.kid: OURS.public}
    for token in (_signed(header, claims), UnverifiedToken(raw.decode("latin-1"))):
        try:
            subject = verify_access_token(token, ISSUER, keys, now=NOW)
        except TokenError:
            continue
        assert subject.expires > NOW.timestamp() - 60


def event(raw: bytes) -> None:
    """The same of a security event token."""
    header, _, claims = raw.partition(b"\0")
    names = {"issuer": ISSUER.issuer, "audience": ISSUER.audience}
    for token in (_signed(header, claims), UnverifiedToken(raw.decode("latin-1"))):
        try:
            verify_set(parse_compact(token), {OURS.kid: OURS.public}, **names, now=NOW)
        except TokenError:
            continue


def request(raw: bytes) -> None:
    """Any body of a token request."""
    parse_request(raw)


def keys(raw: bytes) -> None:
    """Any JWK set."""
    try:
        parse_jwks(raw, where="fuzz")
    except InputError:
        return


def edge(raw: bytes) -> None:
    """Any header, body and query of a request from outside."""
    text = raw.decode("latin-1")
    parse_bearer(text)
    parse_body(raw, ("amount_minor", "payee"))
    parse_query(f"/v1/transfers?{text}", ("amount_minor",))


PARSERS: Final[tuple[Callable[[bytes], None], ...]] = (
    unsigned, signed, access_token, event, request, keys, edge,
)  # fmt: skip


def one(raw: bytes) -> None:
    """Try one input."""
    if raw:
        PARSERS[raw[0] % len(PARSERS)](raw[1:])


def _signed(header: bytes, claims: bytes) -> UnverifiedToken:
    """Return a compact token with a signature of ours over exactly these octets."""
    text = f"{_base64url(header)}.{_base64url(claims)}"
    assert isinstance(OURS.key, ec.EllipticCurvePrivateKey)
    r, s = decode_dss_signature(OURS.key.sign(text.encode(), ec.ECDSA(hashes.SHA256())))
    return UnverifiedToken(f"{text}.{_base64url(r.to_bytes(32) + s.to_bytes(32))}")


def _base64url(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def write_seeds(folder: Path) -> None:
    """Write one input for each parser that goes far into it."""
    header = json.dumps({"alg": "ES256", "kid": OURS.kid, "typ": "txntoken+jwt"})
    claims = urlsafe_b64decode(GOOD.split(".")[1] + "==").decode()
    access = {
        "iss": ISSUER.issuer, "aud": ISSUER.audience, "sub": "u", "client_id": "c", "jti": "1",
        "iat": DOCUMENT["now"], "exp": DOCUMENT["now"] + 60, "scope": "a b", "acr": "mfa",
    }  # fmt: skip
    told = access | {"events": {SESSION_REVOKED: {"subject": {"format": "opaque", "id": "u"}}}}
    seeds = (
        GOOD,
        f"{header}\0{claims}",
        f"{header.replace('txntoken', 'at')}\0{json.dumps(access)}",
        f"{header.replace('txntoken+jwt', 'secevent+jwt')}\0{json.dumps(told)}",
        f"grant_type=x&audience=bank.example&scope=a&subject_token={GOOD}&subject_token_type=y",
        json.dumps(DOCUMENT["jwks"]),
        f'{{"amount_minor": 4200, "payee": "x"}}&amount_minor=1&Bearer {GOOD}',
    )
    for number, seed in enumerate(seeds):
        (folder / str(number)).write_bytes(bytes([number]) + seed.encode())


if __name__ == "__main__":
    with TemporaryDirectory() as seeds:
        write_seeds(Path(seeds))
        atheris.Setup([*sys.argv, seeds], one)
        atheris.Fuzz()
