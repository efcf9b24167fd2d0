"""The policy that the sidecars run: loaded, checked, compiled, and replaced only by a better one.

A file that cannot be read, parsed or compiled, or that does not fit the mesh, changes nothing: the
last good policy stays in force, and the error is kept to be shown.
"""

import hashlib
import shutil
from dataclasses import dataclass
from pathlib import Path

from meshwarden.adapters.envoy.model import Filters, Sidecar
from meshwarden.adapters.yaml import load_document
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
        digest: SHA-256 of the file's bytes.
        sidecars: by service.
        filters: by service.
    """

    policy: AccessPolicy
    digest: str
    sidecars: dict[str, Sidecar]
    filters: dict[str, Filters]


def load_published(path: Path, mesh: Mesh, layout: Layout) -> Published:
    """Return the policy in the file `path`, compiled for `mesh`.

    Raises:
        ConfigError: where the file cannot be read, or does not fit the mesh.
        InputError: where it is no valid policy.
    """
    digest = digest_of(path)  # before the reading: a change in between is seen at the next look
    policy = parse_policy(load_document(path))
    check_against(mesh, policy)
    return Published(
        policy=policy,
        digest=digest,
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
        published = load_published(mesh.policy_path, mesh, layout)
    except MeshwardenError as error:
        if not layout.accepted_policy.exists():
            raise
        return load_published(layout.accepted_policy, mesh, layout), error
    store_accepted(mesh, layout)
    return published, None


def store_accepted(mesh: Mesh, layout: Layout) -> None:
    """Keep the policy file as the one that was accepted last."""
    temporary = layout.accepted_policy.with_suffix(".new")
    shutil.copyfile(mesh.policy_path, temporary)
    temporary.replace(layout.accepted_policy)


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file, hexadecimal; empty where it cannot be read."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return ""
