"""Bundle documents: what comes back, what is passed over, what is refused whole."""

import base64
import copy
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from meshwarden.adapters.chance import SystemChance
from meshwarden.identity import (
    build_bundle,
    create_authority,
    create_key,
    create_root,
    issue_svid,
    parse_bundle,
    parse_certificates,
    render_bundle,
    render_jwt_keys,
)
from meshwarden.kernel import InputError, SpiffeId

NOW = datetime(2026, 11, 3, 12, tzinfo=UTC)
CHANCE = SystemChance()
ROOT = create_root("bank.example", now=NOW, serial=CHANCE.serial())
AUTHORITY = create_authority(ROOT, now=NOW, serial=CHANCE.serial())
KEYS = (create_key(NOW), create_key(NOW))
BUNDLE = build_bundle(AUTHORITY.bundle, KEYS, sequence=2**63)
DOCUMENT = render_bundle(BUNDLE)
LEAF = parse_certificates(
    issue_svid(
        AUTHORITY, SpiffeId.parse("spiffe://bank.example/x"), now=NOW, serial=CHANCE.serial()
    ).certificate_chain.encode(),
    where="leaf",
)[0]


def parse(document: Any) -> Any:
    raw = document if isinstance(document, bytes) else json.dumps(document).encode()
    return parse_bundle(raw, "bank.example", where="test")


def changed(index: int, **more: Any) -> dict[str, Any]:
    document = copy.deepcopy(DOCUMENT)
    entry = document["keys"][index]
    for name, value in more.items():
        if value is ...:
            entry.pop(name, None)
        else:
            entry[name] = value
    return document


def test_what_is_rendered_is_parsed_back() -> None:
    found = parse(DOCUMENT)
    assert found.certificates == (ROOT.certificate,)
    assert list(found.jwt_keys) == [one.kid for one in KEYS]
    assert (found.sequence, found.refresh_hint_s) == (2**63, 300)
    assert render_bundle(found) == DOCUMENT


def test_no_private_key_is_ever_rendered() -> None:
    assert all("d" not in entry for entry in DOCUMENT["keys"])
    assert {entry["kid"] for entry in render_jwt_keys(BUNDLE)["keys"]} == {k.kid for k in KEYS}


def test_entries_have_the_form_of_their_use() -> None:
    root, *rest = DOCUMENT["keys"]
    assert (root["use"], "kid" in root, len(root["x5c"])) == ("x509-svid", False, 1)
    assert [(one["use"], "x5c" in one) for one in rest] == [("jwt-svid", False)] * 2


@pytest.mark.parametrize(
    "document",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"\xff\xfe{}", id="no UTF-8"),
        pytest.param([], id="list"),
        pytest.param({}, id="no keys"),
        pytest.param({"keys": None}, id="keys is null"),
        pytest.param({"keys": {"a": 1}}, id="keys is an object"),
        pytest.param({"keys": ["x"]}, id="an entry is a text"),
        pytest.param(b'{"keys":[],"keys":[]}', id="name twice"),
        pytest.param(b"[" * 100_000, id="deep"),
        pytest.param(b" " * (1024 * 1024 + 1), id="large"),
        pytest.param({"keys": [{}] * 257}, id="many"),
        pytest.param(DOCUMENT | {"spiffe_sequence": -1}, id="negative sequence"),
        pytest.param(DOCUMENT | {"spiffe_sequence": 2**64}, id="sequence beyond 64 bits"),
        pytest.param(DOCUMENT | {"spiffe_sequence": "1"}, id="sequence is a text"),
        pytest.param(DOCUMENT | {"spiffe_sequence": True}, id="sequence is true"),
        pytest.param(DOCUMENT | {"spiffe_refresh_hint": 1.5}, id="hint is no integer"),
        pytest.param(DOCUMENT | {"keys": [*DOCUMENT["keys"], DOCUMENT["keys"][1]]}, id="kid twice"),
    ],
)
def test_a_document_that_breaks_the_format_is_refused_whole(document: Any) -> None:
    with pytest.raises(InputError) as refused:
        parse(document)
    assert refused.value.code == "bundle.format"


@pytest.mark.parametrize(
    "document",
    [
        pytest.param(changed(0, use="sig"), id="unknown use"),
        pytest.param(changed(0, use=...), id="no use"),
        pytest.param(changed(0, kid="x"), id="kid on a CA"),
        pytest.param(changed(0, x5c=...), id="no certificate"),
        pytest.param(changed(0, x5c=[]), id="empty chain"),
        pytest.param(changed(0, x5c=DOCUMENT["keys"][0]["x5c"] * 2), id="two certificates"),
        pytest.param(changed(0, x5c=["%%%"]), id="no base64"),
        pytest.param(changed(0, x5c=["AAAA"]), id="no certificate in it"),
        pytest.param(
            changed(0, x5c=[base64.b64encode(LEAF.public_bytes(Encoding.DER)).decode()]),
            id="no CA",
        ),
        pytest.param(changed(0, x=DOCUMENT["keys"][1]["x"]), id="not the certificate's key"),
        pytest.param(changed(0, kty="oct"), id="unknown kind"),
    ],
)
def test_a_ca_entry_that_is_not_understood_is_passed_over(document: Any) -> None:
    found = parse(document)
    assert found.certificates == ()
    assert len(found.jwt_keys) == 2


@pytest.mark.parametrize(
    "change",
    [
        {"kid": ...},
        {"kid": ""},
        {"kid": 7},
        {"kty": "oct", "k": "AAAA"},
        {"kty": "OKP", "crv": "Ed25519"},
        {"crv": "secp256k1"},
        {"x": "AAAA"},
        {"y": DOCUMENT["keys"][1]["x"]},
        {"use": "enc"},
    ],
)
def test_a_jwt_entry_that_is_not_understood_is_passed_over(change: dict[str, Any]) -> None:
    found = parse(changed(1, **change))
    assert list(found.jwt_keys) == [KEYS[1].kid]
    assert found.certificates == (ROOT.certificate,)


def test_an_empty_bundle_trusts_nobody() -> None:
    found = parse({"keys": []})
    assert (found.certificates, dict(found.jwt_keys)) == ((), {})


@given(st.binary(max_size=300))
def test_any_bytes_are_parsed_or_refused(raw: bytes) -> None:
    try:
        parse(raw)
    except InputError:
        return


JSON: st.SearchStrategy[Any] = st.sampled_from(
    [None, True, 7, "", "AAAA", "EC", "RSA", "P-256", "x509-svid", [], ["AA"], {}]
)
NAMES = st.sampled_from(["use", "kty", "crv", "x", "y", "n", "e", "kid", "x5c", "alg"])


@given(st.integers(0, 2), st.dictionaries(NAMES, JSON, max_size=4))
def test_a_mangled_entry_never_adds_trust(index: int, mangled: dict[str, Any]) -> None:
    document = copy.deepcopy(DOCUMENT)
    document["keys"][index] |= mangled
    try:
        found = parse(document)
    except InputError:
        return
    assert set(found.certificates) <= {ROOT.certificate}
    assert len(found.jwt_keys) <= 3
