"""The policy that the sidecars run: loaded, checked, compiled, and replaced only by a better one.

A file that cannot be read, parsed or compiled, or that does not fit the mesh, changes nothing: the
last good policy stays in force, and the error is kept to be shown. What is parsed, what the digest
is of, and what is kept as accepted are the same bytes, read once: the file may change at any time.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from meshwarden.adapters.envoy.model import Filters, Sidecar
from meshwarden.adapters.storage.durable import write_whole
from meshwarden.adapters.yaml import load_bytes, parse_document
from meshwarden.control.fabric import compile_filters, plan_sidecars
from meshwarden.control.layout import Layout
from meshwarden.control.mesh import Mesh, check_against
from meshwarden.kernel import MeshwardenError
from meshwarden.policy import AccessPolicy, parse_policy


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """One policy, ready to be pushed: what each sidecar is to do, and its filters.

    Attributes:
        policy: as parsed.
        raw: the file's bytes.
        digest: their SHA-256, hexadecimal.
        sidecars: by service.
        filters: by service.
    """

    policy: AccessPolicy
    raw: bytes
    digest: str
    sidecars: dict[str, Sidecar]
    filters: dict[str, Filters]


def load_published(path: Path, mesh: Mesh, layout: Layout) -> Published:
    """Return the policy in the file `path`, compiled for `mesh`.

    Raises:
        ConfigError: where the file cannot be read, or does not fit the mesh.
        InputError: where it is no valid policy.
    """
    raw = load_bytes(path)
    policy = parse_policy(parse_document(raw, name=str(path)))
    check_against(mesh, policy)
    return Published(
        policy=policy,
        raw=raw,
        digest=hashlib.sha256(raw).hexdigest(),
        sidecars=plan_sidecars(policy, mesh, layout),
        filters={name: compile_filters(policy, name) for name in mesh.services},
    )


def load_first(mesh: Mesh, layout: Layout) -> tuple[Published, MeshwardenError | None]:
    """Return the policy to begin with, and why it is not the policy file's, where it is not.

    A control plane that is started again must not stop at a file that was broken meanwhile: it goes
    on with the last one that was accepted.

    Raises:
        MeshwardenError: as `load_published`, where none was accepted before.
    """
    try:
        return load_published(mesh.policy_path, mesh, layout), None
    except MeshwardenError as error:
        if not layout.accepted_policy.exists():
            raise
        return load_published(layout.accepted_policy, mesh, layout), error


def store_accepted(published: Published, layout: Layout) -> None:
    """Keep `published` as what was accepted last; OSError where the disk refuses."""

    def _write(draft: Path) -> None:
        draft.write_bytes(published.raw)

    write_whole(layout.accepted_policy, _write)


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file, hexadecimal; empty where it cannot be read."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return ""
