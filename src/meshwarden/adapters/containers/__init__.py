"""Containers, by the Docker-compatible API of Docker and Podman over a Unix socket.

`engine` asks, `codec` translates, `namespace` looks at what the kernel has of a container on this
machine, `evidence` keeps what a container leaves behind, `driver` is the place where a response
acts. An engine's word is not proof: what it says is cut is compared with the kernel where both are
on this machine.
"""

from meshwarden.adapters.containers.driver import ContainerDriver
from meshwarden.adapters.containers.engine import Engine

__all__ = ["ContainerDriver", "Engine"]
