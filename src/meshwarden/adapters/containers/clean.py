"""How a clean container like another is asked for, and whether one is like it. No I/O.

Docker and Podman name some things differently: limits (`nofile`, `RLIMIT_NOFILE`), modes ("" and
`private`), `Entrypoint` (null and []). Both are read; what is asked for is Docker's spelling.
"""

from collections.abc import Mapping
from typing import Any, Final

from meshwarden.adapters.containers.codec import Container

_SHORT: Final = 12
_EMPTY: Final[tuple[object, ...]] = (None, "", [], {}, 0, False)
_NOT_TAKEN: Final = frozenset({"ContainerIDFile", "ConsoleSize", "Isolation", "NetworkMode"})
"""Of HostConfig: what belongs to one container alone, and what is asked for in another place."""

_MAY_DIFFER: Final = frozenset({"LogConfig", "Runtime", "MemorySwap", "Cgroup"})
"""Of HostConfig: engines fill these in themselves; none of them widens what a container may do."""

_SAME: Final = ("User", "Cmd", "Entrypoint", "WorkingDir")
_KEPT: Final = (
    "User", "Env", "Cmd", "Entrypoint", "WorkingDir", "Labels", "Healthcheck", "ExposedPorts",
    "Volumes", "StopSignal", "Domainname", "Tty", "OpenStdin",
)  # fmt: skip


def render_clean(old: Container, networks: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return what to ask for to have a clean container like `old`, on the first of `networks`.

    The image is named by digest: a tag may mean another one by now. Nothing of the old one's
    writable layer comes along; volumes do.
    """
    host = {
        key: value
        for key, value in old.host_config.items()
        if key not in _NOT_TAKEN and value not in _EMPTY
    }
    host = {key: value for key, value in host.items() if not _is_default(key, value)}
    if "Ulimits" in host:
        host["Ulimits"] = [_limit(one) for one in host["Ulimits"]]
    first = next(iter(networks), old.network_mode)
    host["NetworkMode"] = first
    endpoints = {
        name: render_endpoint(one, without=old.id)
        for name, one in networks.items()
        if name == first
    }
    config = {key: old.config[key] for key in _KEPT if old.config.get(key) not in _EMPTY}
    config["Env"] = [one for one in old.config.get("Env") or [] if not _is_own_name(one, old)]
    if not _is_own(old.config.get("Hostname"), old):
        config["Hostname"] = old.config.get("Hostname")
    return {
        **config,
        "Image": old.image,
        "HostConfig": host,
        "NetworkingConfig": {"EndpointsConfig": endpoints},
    }


def render_endpoint(
    endpoint: Mapping[str, Any], *, without: str, address: bool = False
) -> dict[str, Any]:
    """Return how to connect to a network as `endpoint` was; with its very address where asked."""
    aliases = [one for one in endpoint.get("Aliases") or [] if one != without[:_SHORT]]
    found: dict[str, Any] = {"Aliases": aliases} if aliases else {}
    if address and endpoint.get("IPAddress"):
        found["IPAMConfig"] = {"IPv4Address": endpoint["IPAddress"]}
    elif endpoint.get("IPAMConfig"):
        found["IPAMConfig"] = endpoint["IPAMConfig"]
    return found


def differences(
    old: Container, new: Container, *, restart: Mapping[str, Any] | None = None
) -> list[str]:
    """Return in what `new` is not asked for like `old`: names of settings. Empty: it is like it.

    `restart`: what the old one's restart policy was before it was cut off.
    """
    before = {**old.host_config, **({"RestartPolicy": dict(restart)} if restart else {})}
    settings = (old.host_config.keys() | new.host_config.keys()) - _MAY_DIFFER - _NOT_TAKEN
    pairs = {
        "Image": (old.image, new.image),
        **{key: (before.get(key), new.host_config.get(key)) for key in sorted(settings)},
        **{key: (old.config.get(key), new.config.get(key)) for key in _SAME},
    }
    return [key for key, (was, now) in pairs.items() if _plain(was) != _plain(now)]


def _plain(value: object) -> object:
    """Return `value` so that what means the same is the same."""
    if value in _EMPTY:
        return None
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        return sorted(value)
    return value


def _is_default(key: str, value: object) -> bool:
    private = key.endswith("Mode") and value in {"private", "shareable"}
    return private or (key == "MemorySwappiness" and value == -1) or (key, value) == _OCI


_OCI: Final = ("Runtime", "oci")  # Podman's word for whichever it has


def _limit(limit: Mapping[str, Any]) -> dict[str, Any]:
    return {**limit, "Name": str(limit["Name"]).removeprefix("RLIMIT_").lower()}


def _is_own(name: object, old: Container) -> bool:
    return not name or name == old.id[:_SHORT]


def _is_own_name(variable: str, old: Container) -> bool:
    return variable == f"HOSTNAME={old.id[:_SHORT]}"
