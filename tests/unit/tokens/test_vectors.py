"""The validator against RFC 8725's list and our own cases."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from meshwarden.tokens import Expected, TokenError, UnverifiedToken, parse_jwks, verify_txn_token

VECTORS = Path(__file__).parents[2] / "vectors" / "tokens" / "txn-tokens.json"
DOCUMENT: dict[str, Any] = json.loads(VECTORS.read_text())
KEYS = parse_jwks(json.dumps(DOCUMENT["jwks"]).encode(), where="vectors")
NOW = datetime.fromtimestamp(DOCUMENT["now"], UTC)
EXPECTED = Expected(trust_domain=DOCUMENT["trust_domain"], issuer=DOCUMENT["issuer"])


def code_of(text: str) -> str | None:
    try:
        verify_txn_token(UnverifiedToken(text), KEYS, EXPECTED, now=NOW)
    except TokenError as error:
        assert error.clause
        return error.code
    return None


@pytest.mark.parametrize("case", DOCUMENT["cases"], ids=lambda case: case["note"])
def test_vector(case: dict[str, Any]) -> None:
    assert code_of(case["token"]) == case["expected"]


def test_a_refusal_never_shows_the_token() -> None:
    for case in DOCUMENT["cases"]:
        if case["expected"] and len(case["token"]) > 40:
            with pytest.raises(TokenError) as caught:
                verify_txn_token(UnverifiedToken(case["token"]), KEYS, EXPECTED, now=NOW)
            shown = f"{caught.value!s}{caught.value!r}"
            assert not any(part and part in shown for part in case["token"].split("."))
