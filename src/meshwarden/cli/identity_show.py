"""`meshwarden identity show`: all that the register says about one certificate or service."""

import json as jsonlib
from typing import Any

from cyclopts import App

from meshwarden.cli.identity_mesh import HERE, Json, State, ask
from meshwarden.kernel import InputError

app = App(
    name="show",
    help="Show all that is known about a certificate, or those of a service.",
    help_epilogue="Example: meshwarden identity show payments",
    help_format="plaintext",
    result_action="return_value",
)
_FIELDS = (
    "identity", "instance", "status", "sha256", "serial", "issuer", "time", "not_after",
)  # fmt: skip


@app.default
def show(name: str, /, *, state: State = HERE, json: Json = False) -> int:
    """Show certificates.

    Args:
        name: a service, a SPIFFE ID, a SHA-256 or a serial number, or the beginning of either.
        state: state directory of the running mesh.
        json: print one JSON object.
    """
    found = ask(state, "GET", "/v1/identity")
    chosen = [one for one in found["certificates"] if _matches(one, name)]
    revoked = [one for one in found["revoked"] if _matches(one, name)]
    refused = [one for one in found["refused"] if _matches(one, name)]
    if not (chosen or revoked or refused):
        raise InputError(
            "identity.unknown_certificate",
            f"nothing is known under {name[:128]!r}",
            where=str(state),
            hint="see `meshwarden identity list`",
        )
    if json:
        print(jsonlib.dumps({"certificates": chosen, "revoked": revoked, "refused": refused}))
        return 0
    blocks = ["\n".join(_lines(one)) for one in chosen]
    known = {one["sha256"] for one in chosen}
    blocks += [
        "\n".join(_lines(one | {"status": "revoked"}))
        for one in revoked
        if one["sha256"] not in known
    ]
    blocks += [
        f"revoked    {one['time']}  {one['sha256'][:16]}  {one['reason']}".rstrip()
        for one in revoked
    ]
    blocks += [
        f"refused    {one['time']}  {one['identity']}  {one['reason']}".rstrip() for one in refused
    ]
    print("\n\n".join(blocks))
    return 0


def _matches(one: dict[str, Any], name: str) -> bool:
    if name in {one["instance"], one["identity"]}:
        return True
    prefix = name.lower().replace(":", "")
    return len(prefix) >= 8 and (
        one["sha256"].startswith(prefix) or (one["serial"] or "").startswith(prefix)
    )


def _lines(one: dict[str, Any]) -> list[str]:
    names = {"time": "issued", "not_after": "ends", "instance": "held by"}
    return [f"{names.get(key, key):<10} {one[key]}" for key in _FIELDS if one[key]]
