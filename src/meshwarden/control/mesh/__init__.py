"""`mesh.yaml`: which programs make up a mesh, how each is started, and where it listens.

A `Mesh` cannot be built from a file that contradicts itself: unknown keys and names, a dependency
that leads back to itself, a port that two services want, are errors with file and line before
anything is started. Names are those of the access policy; `check_against` compares the two. Whether
commands and directories exist is seen when the supervisor prepares to start them.

`model` is what the file says, `parse` reads it whole, `parse_service` one entry of it, `values` its
texts and addresses; `consistency` holds the entries against one another, `against` the whole
against the policy.
"""

from meshwarden.control.mesh.against import check_against
from meshwarden.control.mesh.model import (
    Address,
    AuthoritySettings,
    Mesh,
    MeshService,
    ServiceLimits,
)
from meshwarden.control.mesh.parse import parse_mesh

__all__ = [
    "Address",
    "AuthoritySettings",
    "Mesh",
    "MeshService",
    "ServiceLimits",
    "check_against",
    "parse_mesh",
]
