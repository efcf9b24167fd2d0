"""`meshwarden incident evidence`: where an incident's archive is, and whether one holds."""

import json as jsonlib
import sys
from dataclasses import asdict
from pathlib import Path

from cyclopts import App

from meshwarden.adapters.forensics import verify_archive
from meshwarden.cli.calls_text import printable, rfc3339
from meshwarden.cli.identity_mesh import HERE, Json, State, ask
from meshwarden.kernel import VerificationError

app = App(
    name="evidence",
    help="Where the archive is; verify one.",
    help_epilogue="Example: meshwarden incident evidence verify archive.tar --key 5e2c...",
    help_format="plaintext",
    result_action="return_value",
)


@app.default
def evidence(incident: str, /, *, state: State = HERE, json: Json = False) -> int:
    """Say where the archive of an incident is, with its key and digest; exit code 1: there is none.

    Args:
        incident: its id.
        state: state directory of the running mesh.
        json: print one JSON object.
    """
    found = ask(state, "GET", f"/v1/incidents/{incident}")["evidence"]
    if json:
        print(jsonlib.dumps(found or {}))
    elif found:
        print(f"{found['archive']}\nkey     {found['key']}\ndigest  {found['digest']}")
    return 0 if found else 1


@app.command
def verify(
    archive: Path,
    /,
    *,
    key: str | None = None,
    digest: str | None = None,
    json: Json = False,
) -> int:
    """Verify an archive offline: signature, manifest, every file; exit code 1 where it fails.

    Args:
        archive: the archive.
        key: public key that it must be signed by; the one that it names unless given, which shows
            damage, but not who signed.
        digest: of the manifest, as the incident's record has it.
        json: print one JSON object.
    """
    try:
        manifest = verify_archive(archive, key=key, digest=digest)
    except VerificationError as error:
        if json:
            print(jsonlib.dumps({"verified": False, "code": error.code, "why": error.message}))
        print(f"meshwarden: {archive}: {error}", file=sys.stderr)
        return 1
    shown = asdict(manifest) | {"verified": True, "taken": rfc3339(manifest.taken)}
    if json:
        print(jsonlib.dumps(shown))
    else:
        print(f"{archive} holds: {len(manifest.kept)} files of incident {manifest.incident}")
        about = f"about {manifest.suspect}, taken {shown['taken']}, signed by {manifest.key}"
        print(printable(about))
        for one in manifest.dropped:
            print(printable(f"not kept: {one.name}: {one.reason}"))
        if key is None:
            print("signed by whoever has that key: compare it with the incident's record")
    return 0
