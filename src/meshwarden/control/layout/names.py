"""What the mesh's own processes are called, in events, logs and directories."""

from typing import Final

CONTROL_PLANE: Final = "control-plane"
WORKLOAD: Final = "workload"
BORDER: Final = "border"  # isolated: the one that leads in from the machine and out to the world


def sidecar_name(service: str) -> str:
    """Return the name of a service's sidecar in events and logs; a service's own has no dot."""
    return f"{service}.sidecar"
