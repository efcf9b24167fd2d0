"""`meshwarden token verify`: whether a token holds, or the clause that refuses it."""

import json as jsonlib
from pathlib import Path
from typing import Annotated, Final, Literal

import httpx
from cyclopts import App, Parameter

from meshwarden.adapters.oidc.codec import is_usable
from meshwarden.cli.identity_mesh import Json
from meshwarden.cli.token_input import TokenText, read_moment, read_token
from meshwarden.kernel import ConfigError, DependencyError
from meshwarden.tokens import (
    Expected,
    Issuer,
    TokenError,
    parse_jwks,
    verify_access_token,
    verify_txn_token,
)
from meshwarden.tokens.jwks import MAX_JWKS_BYTES

app = App(
    name="verify",
    help="Verify a transaction token or an access token, and say why it is refused.",
    help_epilogue="Example: meshwarden token verify - --jwks keys.json --audience bank.example",
    help_format="plaintext",
    result_action="return_value",
)
TIMEOUT_S: Final = 10.0


@app.default
def verify(
    token: TokenText,
    /,
    *,
    jwks: str,
    audience: str,
    issuer: str | None = None,
    kind: Literal["txn", "access"] = "txn",
    at: str | None = None,
    json: Annotated[bool, Parameter(name="--json", negative="")] = False,
) -> int:
    """Verify a token; exit code 1 where it is refused.

    Args:
        token: the token, or - for standard input.
        jwks: the issuer's JWK Set: a file, or an https URL.
        audience: whom it must be meant for; of a transaction token, the trust domain.
        issuer: who must have issued it; needed for an access token.
        kind: txn or access.
        at: the instant to judge by, RFC 3339; now if not given.
        json: print one JSON object.
    """
    unverified, moment = read_token(token), read_moment(at)
    keys = parse_jwks(_load(jwks), where=jwks)
    try:
        if kind == "access":
            if issuer is None:
                raise ConfigError("token.issuer", "an access token needs --issuer")
            verify_access_token(
                unverified, Issuer(issuer=issuer, audience=audience), keys, now=moment
            )
        else:
            expected = Expected(trust_domain=audience, issuer=issuer)
            verify_txn_token(unverified, keys, expected, now=moment)
    except TokenError as error:
        _say(
            {"valid": False, "code": error.code, "reason": error.why, "clause": error.clause,
             "sha256": unverified.digest},
            f"refused: {error.why} ({error.code}; {error.clause})", json=json,
        )  # fmt: skip
        return 1
    _say({"valid": True, "sha256": unverified.digest}, "it holds", json=json)
    return 0


def _say(document: dict[str, object], text: str, *, json: Json) -> None:
    print(jsonlib.dumps(document) if json else text)


def _load(source: str) -> bytes:
    if "://" not in source:
        try:
            with Path(source).open("rb") as file:
                return file.read(MAX_JWKS_BYTES + 1)
        except OSError as error:
            raise ConfigError(
                "file.unreadable", f"cannot read {source}: {error.strerror}", hint="check the path"
            ) from error
    if not is_usable(source):
        raise ConfigError("token.jwks", f"{source} is no https URL")
    try:
        return httpx.get(source, timeout=TIMEOUT_S).raise_for_status().content
    except httpx.HTTPError as error:
        raise DependencyError("token.jwks", f"{source} does not answer: {error}") from error
