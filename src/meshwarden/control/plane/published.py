"""The policy that the sidecars run: loaded, checked, compiled, and replaced only by a better one.

A file that cannot be read, parsed or compiled, or that does not fit the mesh, changes nothing: the
last good policy stays in force, and the error is kept to be shown.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from meshwarden.adapters.envoy.model import Filters, Sidecar
from meshwarden.adapters.yaml import load_document
from meshwarden.control.fabric import compile_filters, plan_sidecars
from meshwarden.control.layout import Layout
from meshwarden.control.mesh import Mesh, check_against
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


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file, hexadecimal; empty where it cannot be read."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return ""
