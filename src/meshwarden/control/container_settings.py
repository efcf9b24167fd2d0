"""The mesh file's `container` of a service: the container that runs it, in place of a command.

```yaml
container: {name: payments, engine: /run/podman/podman.sock, uid: 65534}
```

The container is made by whoever ships the service; the mesh starts, stops and replaces it. It sees
of the mesh one directory alone (`Layout.app_dir`), with its own socket and its sidecar's.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from meshwarden.kernel import Node

DEFAULT_ENGINE: Final = Path("/run/podman/podman.sock")
MAX_UID: Final = (1 << 32) - 2
_NAME: Final = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,127}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerSettings:
    """Which container runs a service.

    Attributes:
        name: as its engine calls it; a replacement gets the same name.
        engine: the Unix socket of Docker's or Podman's API, absolute.
        uid: the user of its processes, as this machine numbers them; never root.
    """

    name: str
    engine: Path
    uid: int


def parse_container(node: Node, directory: Path) -> ContainerSettings:
    """Return the settings of `node`; InputError `mesh.container` or `document.*`, with its line."""
    fields = node.fields(required=["name", "uid"], optional=["engine"])
    name, engine = fields["name"].text(), fields.get("engine")
    if not _NAME.fullmatch(name):
        fields["name"].refuse("mesh.container", f"{name[:80]!r} is no name of a container")
    return ContainerSettings(
        name=name,
        engine=DEFAULT_ENGINE if engine is None else directory / engine.text(),
        uid=fields["uid"].integer(1, MAX_UID),
    )
