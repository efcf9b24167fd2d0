"""`meshwarden token inspect`: what a token says, and what is wrong with it at first sight."""

import dataclasses
import json as jsonlib

from cyclopts import App

from meshwarden.cli.identity_mesh import Json
from meshwarden.cli.token_input import TokenText, read_moment, read_token
from meshwarden.tokens.explain import Inspection, inspect_token

app = App(
    name="inspect",
    help="Show what a token says; nothing is verified. The token itself is not printed.",
    help_epilogue="Example: meshwarden token inspect - < token.txt",
    help_format="plaintext",
    result_action="return_value",
)


@app.default
def inspect(token: TokenText, /, *, at: str | None = None, json: Json = False) -> int:
    """Inspect a token; exit code 1 where a verifier would refuse it at first sight.

    Args:
        token: the token, or - for standard input.
        at: the instant to judge its times by, RFC 3339; now if not given.
        json: print one JSON object.
    """
    found = inspect_token(read_token(token), now=read_moment(at))
    if json:
        print(jsonlib.dumps(dataclasses.asdict(found)))
    else:
        print("\n".join(_text(found)))
    return 1 if found.problems else 0


def _text(found: Inspection) -> list[str]:
    lines = [f"{found.kind}, SHA-256 {found.digest}"]
    lines += [f"  {name}: {jsonlib.dumps(value)}" for name, value in found.header.items()]
    if found.unverified_claims:
        lines.append("says, unverified:")
    lines += [
        f"  {name}: {jsonlib.dumps(value)}" for name, value in found.unverified_claims.items()
    ]
    lines += [f"would be refused: {one.why} ({one.code}; {one.clause})" for one in found.problems]
    return lines
