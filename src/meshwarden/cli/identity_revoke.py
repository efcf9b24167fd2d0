"""`meshwarden identity revoke`: take one certificate away, or all of a service."""

import json as jsonlib
import re
import sys
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter

from meshwarden.cli.identity_mesh import HERE, Json, State, ask
from meshwarden.kernel import ConfigError, InputError

app = App(
    name="revoke",
    help="Revoke a certificate: refused everywhere, on new connections and on open ones.",
    help_epilogue="Example: meshwarden identity revoke payments --reason 'key copied'",
    help_format="plaintext",
    result_action="return_value",
)
_MAX_BYTES = 48 * 1024
_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----")


@app.default
def revoke(
    target: str,
    /,
    *,
    state: State = HERE,
    reason: str = "",
    replace: Annotated[bool, Parameter(negative="--no-replace")] = True,
    json: Json = False,
) -> int:
    """Revoke what `target` names; exit code 1 where not all of it is done.

    Args:
        target: a service (all its live certificates), a SPIFFE ID, a SHA-256 or serial number, or
            a PEM file that holds the certificate.
        state: state directory of the running mesh.
        reason: kept in the record.
        replace: give a service whose own certificate is revoked a fresh one; with --no-replace it
            is cut off until `identity rotate SERVICE`.
        json: print one JSON object.
    """
    body: dict[str, object] = {"target": target_of(target), "reason": reason, "replace": replace}
    revoked = ask(state, "POST", "/v1/identity/revoke", body)
    if json:
        print(jsonlib.dumps(revoked))
    else:
        print("\n".join(_text(revoked)))
    if revoked["pending"]:
        print(f"not confirmed by: {', '.join(revoked['pending'])}", file=sys.stderr)
    if not revoked["recorded"]:
        print("in force, but not recorded: the disk does not take it", file=sys.stderr)
    if revoked["unsevered"]:
        names = ", ".join(revoked["unsevered"])
        print(f"streams under way go on, their network could not be cut: {names}", file=sys.stderr)
    failed = revoked["pending"] or revoked["unsevered"] or not revoked["recorded"]
    return 1 if failed else 0


def target_of(target: str) -> str:
    """Return what is sent to the control plane: the target, or the certificates of its file.

    Raises:
        ConfigError: `file.unreadable`.
        InputError: `identity.pem` where there is no certificate in it.
    """
    path = Path(target)
    if path.suffix not in {".pem", ".crt"} and "/" not in target.removeprefix("spiffe://"):
        return target
    if target.startswith("spiffe://"):
        return target
    try:
        raw = path.read_bytes()[:_MAX_BYTES].decode("ascii", "replace")
    except OSError as error:
        raise ConfigError(
            "file.unreadable", f"cannot read {path}: {error.strerror}", hint="check the path"
        ) from error
    certificates = _CERTIFICATE.findall(raw)  # a key in the same file is not sent
    if not certificates:
        raise InputError(
            "identity.pem",
            "no certificate is in it",
            where=str(path),
            hint="a PEM file, the certificate to revoke first",
        )
    return "\n".join(certificates)


def _text(revoked: dict[str, Any]) -> list[str]:
    lines = [f"revoked {one['sha256'][:16]}  {one['identity']}" for one in revoked["certificates"]]
    lines += [f"{name} has a fresh certificate" for name in revoked["replaced"]]
    lines += [
        f"{name} is cut off: restore it with `meshwarden identity rotate {name}`"
        for name in revoked["withheld"]
    ]
    if revoked["severed"]:
        lines.append(f"{revoked['severed']} connections under way were cut")
    return [*lines, f"enforced everywhere after {revoked['enforced_ms']:.1f} ms"]
