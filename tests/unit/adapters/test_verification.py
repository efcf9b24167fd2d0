"""What the verification of tokens requires, and of what first octets."""

from datetime import UTC, datetime
from typing import Any

import pytest
from envoy.extensions.filters.http.jwt_authn.v3.config_pb2 import JwtAuthentication
from google.protobuf.json_format import MessageToDict

from meshwarden.adapters.envoy.verification import Verification, verification_resource
from meshwarden.policy.targets.envoy.token_headers import HEADERS
from meshwarden.tokens import create_key, render_jwks
from meshwarden.tokens.jws import first_part, sign_compact

KEYS = [create_key(datetime(2026, 1, day, tzinfo=UTC)) for day in (1, 2)]


def _config() -> dict[str, Any]:
    verification = Verification(
        issuer="https://t.example", audience="a", keys=render_jwks([key.public for key in KEYS])
    )
    found = JwtAuthentication()
    verification_resource(verification).typed_config.Unpack(found)
    config: dict[str, Any] = MessageToDict(found, preserving_proto_field_name=True)
    return config


def test_only_the_first_parts_of_the_published_keys_are_verified() -> None:
    *right, other, without = _config()["rules"]
    prefixes = [rule["match"]["headers"][0]["string_match"]["prefix"] for rule in right]
    signed = [
        sign_compact({}, key.jose, algorithm="ES256", kid=key.kid, typ="txntoken+jwt").reveal()
        for key in KEYS
    ]
    assert [token.partition(".")[0] + "." for token in signed] == prefixes
    assert other["match"]["headers"][0]["present_match"] is True
    assert "headers" not in without["match"]


def test_what_a_caller_writes_is_removed_also_where_there_is_no_token() -> None:
    config = _config()
    [provider] = {rule["requires"]["provider_name"] for rule in config["rules"][:-2]}
    removing = config["rules"][-1]["requires"]["requires_any"]["requirements"]
    assert removing == [{"provider_name": provider}, {"allow_missing": {}}]
    handed = config["providers"][provider]["claim_to_headers"]
    assert {one["header_name"] for one in handed} == set(HEADERS.values())


def test_a_token_of_another_form_is_nobodys() -> None:
    config = _config()
    nobody = config["providers"][config["rules"][-2]["requires"]["provider_name"]]
    assert nobody["issuer"] != "https://t.example"
    assert "claim_to_headers" not in nobody


@pytest.mark.parametrize("typ", ["at+jwt", "secevent+jwt", ""])
def test_a_first_part_names_the_type(typ: str) -> None:
    key = KEYS[0]
    mine = first_part(algorithm="ES256", kid=key.kid, typ="txntoken+jwt")
    assert first_part(algorithm="ES256", kid=key.kid, typ=typ) != mine
