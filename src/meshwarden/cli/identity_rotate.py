"""`meshwarden identity rotate`: a new authority, or a fresh certificate for one service."""

import json as jsonlib
from pathlib import Path

from cyclopts import App

from meshwarden.cli.identity_mesh import HERE, Json, State, ask
from meshwarden.kernel import ConfigError

app = App(
    name="rotate",
    help="Replace the authority that signs, its root too, or one service's certificate.",
    help_epilogue="Example: meshwarden identity rotate --root",
    help_format="plaintext",
    result_action="return_value",
)


@app.default
def rotate(
    service: str | None = None,
    /,
    *,
    root: bool = False,
    certificates: Path | None = None,
    key: Path | None = None,
    state: State = HERE,
    json: Json = False,
) -> int:
    """Rotate; exit code 1 where sidecars do not know the new authority yet.

    Args:
        service: give this service a fresh certificate, also where it was cut off, and change
            nothing else. A process that was cut off, as `identity list` names it, may ask again.
        root: make a new root, too. The old one stays trusted until nothing that it signed lives.
        certificates: PEM file of an authority that you bring, up to its root, in place of the one
            that mesh.yaml names.
        key: PEM file of its key, that only the account of the control plane can read.
        state: state directory of the running mesh.
        json: print one JSON object.
    """
    if service and root:
        raise ConfigError("identity.rotate", "--root is about the authority, not about a service")
    if (certificates is None) != (key is None) or (certificates and (service or root)):
        raise ConfigError("identity.rotate", "--certificates and --key belong together, and alone")
    body: dict[str, object] = {"service": service} if service else {"root": root}
    if certificates and key:
        body = {"certificates": str(certificates.absolute()), "key": str(key.absolute())}
    done = ask(state, "POST", "/v1/identity/rotate", body)
    if json:
        print(jsonlib.dumps(done))
    elif service and done["sha256"] is None:
        print(f"{service} may ask for a certificate again")
    elif service:
        print(f"{service} has the certificate {done['sha256'][:16]}")
    elif done["step"] == "prepared":
        waiting = ", ".join(done["waiting_for"]) or "the sidecars"
        print(f"the new authority is published and will sign once it is known to: {waiting}")
    else:
        print("the new authority signs; the old one leaves when nothing that it signed lives")
    return 1 if done.get("step") == "prepared" else 0
