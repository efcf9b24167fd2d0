"""Tokens that our own keys may have signed, or seem to have, and that are no transaction tokens."""

import base64
import hashlib
import hmac
import json
import time
from pathlib import Path
from typing import Any

import pytest
from envoy.extensions.filters.network.http_connection_manager.v3 import (
    http_connection_manager_pb2 as hcm,
)
from joserfc import jws
from tests.e2e.test_token_containment import KEY, hop, token

from meshwarden.adapters.envoy.containment import Containment
from meshwarden.adapters.envoy.verification import Verification, verification_resource
from meshwarden.tokens import render_jwks

pytestmark = pytest.mark.e2e
KEYS = render_jwks([KEY.public])


def ours() -> hcm.HttpFilter:
    """Return the filter as the sidecars get it."""
    resource = verification_resource(
        Verification(issuer="https://tokens.test.example", audience="test.example", keys=KEYS)
    )
    return hcm.HttpFilter(name="tokens", typed_config=resource.typed_config)


def signed(header: dict[str, Any]) -> str:
    """Return a token that is right but for its header, which our key signed."""
    _, payload, _ = token().split(".")
    claims = base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4))
    registry = jws.JWSRegistry(algorithms=["ES256"], strict_check_header=False)
    return jws.serialize_compact(header, claims, KEY.jose, registry=registry)


def encoded(part: object) -> str:
    octets = json.dumps(part, separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


def unsigned(header: dict[str, Any], secret: bytes | None = None) -> str:
    """Return a token with another header and no signature, or one with a shared `secret`."""
    text = f"{encoded(header)}.{token().split('.')[1]}"
    digest = hmac.new(secret, text.encode(), hashlib.sha256).digest() if secret else b""
    return f"{text}.{base64.urlsafe_b64encode(digest).rstrip(b'=').decode()}"


GOOD = {"alg": "ES256", "kid": KEY.kid, "typ": "txntoken+jwt"}


def forms() -> dict[str, str]:
    """Return what is refused, by what is wrong with it."""
    right = token()
    first, payload, signature = right.split(".")
    return {
        "another type": signed(GOOD | {"typ": "secevent+jwt"}),
        "an access token's type": signed(GOOD | {"typ": "at+jwt"}),
        "no type": signed({"alg": "ES256", "kid": KEY.kid}),
        "an embedded key": signed(GOOD | {"jwk": KEY.jose.as_dict(private=False)}),
        "a place to fetch the key from": signed(GOOD | {"jku": "https://evil.example/jwks"}),
        "another order": signed({"typ": "txntoken+jwt", "alg": "ES256", "kid": KEY.kid}),
        "no key's name": signed({"alg": "ES256", "typ": "txntoken+jwt"}),
        "a critical extension": unsigned(GOOD | {"crit": ["x"], "x": 1}),
        "none": unsigned(GOOD | {"alg": "none"}),
        "HMAC with the public key": unsigned(GOOD | {"alg": "HS256"}, KEYS.encode()),
        "right octets first, another header in fact": f"{first}.{first}.{payload}.{signature}",
        "right octets first, no signature": f"{first}.{payload}.",
        "right octets first, another payload": f"{first}.{encoded({'sub': 'x'})}.{signature}",
        "two in one value": f"{right}, {right}",
        "empty": "",
        "expired": token(exp=int(time.time()) - 400, iat=int(time.time()) - 500),
        "another audience": token(aud="other.example"),
        "another issuer": token(iss="https://evil.example"),
        "nobody as its issuer": token(iss="-"),
    }


async def test_only_what_the_token_service_signs_as_such_passes(tmp_path: Path) -> None:
    async with hop(tmp_path, Containment(), ours()) as client:

        async def status(*values: str) -> int:
            held = [("Txn-Token", value) for value in values]
            return (await client.get("http://hop/", headers=held)).status_code

        assert await status(token()) == 200
        assert await status() == 200  # whether one is needed is the policy's to say
        found = {name: await status(form) for name, form in forms().items()}
        assert {name for name, answered in found.items() if answered not in {401, 403}} == set()
        assert found["another type"] == found["none"] == 401
        assert await status(token(), token(sub="u-2")) == 403
        assert await status(token(), signed(GOOD | {"typ": "at+jwt"})) in {401, 403}
        assert await status(signed(GOOD | {"typ": "at+jwt"}), token()) in {401, 403}
        assert await status(token()) == 200
