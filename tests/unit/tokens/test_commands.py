"""`meshwarden token inspect` and `verify`: what they say, and that they never say the token."""

import io
import json
from pathlib import Path
from typing import Any

import pytest

from meshwarden.cli import run

DOCUMENT: dict[str, Any] = json.loads(
    (Path(__file__).parents[2] / "vectors" / "tokens" / "txn-tokens.json").read_text()
)
GOOD: str = DOCUMENT["cases"][0]["token"]
THEN = "2026-11-23T16:00:00Z"


@pytest.fixture
def keys(tmp_path: Path) -> str:
    path = tmp_path / "jwks.json"
    path.write_text(json.dumps(DOCUMENT["jwks"]))
    return str(path)


def case(note: str) -> str:
    [found] = [one["token"] for one in DOCUMENT["cases"] if one["note"] == note]
    return str(found)


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    code = run(["token", *arguments])
    out, err = capsys.readouterr()
    return code, out + err


def test_a_good_token_holds_for_its_audience_then(
    keys: str, capsys: pytest.CaptureFixture[str]
) -> None:
    common = ["verify", GOOD, "--jwks", keys, "--json"]
    code, text = said(capsys, *common, "--audience", "bank.example", "--at", THEN)
    assert (code, json.loads(text)["valid"]) == (0, True)
    code, text = said(capsys, *common, "--audience", "bank.example")
    assert (code, json.loads(text)["code"]) == (1, "token.expired")
    code, text = said(capsys, *common, "--audience", "shop.example", "--at", THEN)
    assert (code, json.loads(text)["clause"]) == (1, "row 7")


@pytest.mark.parametrize("one", DOCUMENT["cases"], ids=lambda one: one["note"])
def test_every_vector_is_explained_and_none_is_printed(
    one: dict[str, Any],
    keys: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if one["token"].split() != [one["token"]]:
        return  # the command takes the last word, as of a pasted header
    monkeypatch.setattr("sys.stdin", io.StringIO(f"Txn-Token: {one['token']}"))
    arguments = ["verify", "-", "--jwks", keys, "--audience", "bank.example", "--at", THEN]
    code, text = said(capsys, *arguments, "--issuer", DOCUMENT["issuer"], "--json")
    found = json.loads(text)
    assert (code, found.get("code")) == (
        (0, None) if one["expected"] is None else (1, one["expected"])
    )
    monkeypatch.setattr("sys.stdin", io.StringIO(one["token"]))
    _, shown = said(capsys, "inspect", "-", "--at", THEN)
    parts = [part for part in one["token"].split(".") if len(part) > 20]
    assert not any(part in text or part in shown for part in parts)


def test_inspect_shows_claims_and_what_is_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    code, text = said(capsys, "inspect", GOOD, "--at", THEN)
    assert code == 0
    assert 'txn: "0f2b7a52-5d1c-4a0e-9f0e-6a2b0a4f9c11"' in text
    code, text = said(capsys, "inspect", case("purp"), "--at", THEN)
    assert code == 1
    assert "older draft: scope is meant" in text


def test_bad_usage_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (
        ["verify", GOOD, "--jwks", str(tmp_path / "none"), "--audience", "x"],
        ["verify", GOOD, "--jwks", "http://idp.example/jwks", "--audience", "x"],
        ["inspect", GOOD, "--at", "soon"],
        ["inspect", " "],
        ["revoke", "--state", str(tmp_path)],
    ):
        code, text = said(capsys, *arguments)
        assert (code, text.count("\n")) == (2, 1), text
