"""What an engine says about a container: one description, checked. No I/O."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from meshwarden.kernel import InputError

_ID: Final = re.compile(r"[0-9a-f]{64}")
_IMAGE: Final = re.compile(r"(sha256:)?[0-9a-f]{64}")
_TIME: Final = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)")
_OWN_NETWORK: Final = ("host", "container:", "ns:", "none")


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """One container, as its engine says.

    Attributes:
        id: 64 hexadecimal digits.
        name: as people call it.
        image: the digest of what it was made from.
        running, paused: its state; a paused one runs.
        pid: its first process on the engine's machine; 0 where it does not run.
        started: nanoseconds since the epoch, UTC; 0 where it never was.
        health: what its own check says: `healthy`, `starting`, `unhealthy`; "" without a check.
        networks: what it is connected to, by name, as the engine describes it.
        network_mode: how its network was asked for.
        sandbox: path of its network namespace; "" where the engine does not say.
        writable: directories outside its own layer that it can write, as it sees them.
        config, host_config: how it was asked for.
    """

    id: str
    name: str
    image: str
    running: bool
    paused: bool
    pid: int
    started: int
    health: str
    networks: Mapping[str, Mapping[str, Any]]
    network_mode: str
    sandbox: str
    writable: tuple[str, ...]
    config: Mapping[str, Any] = field(repr=False)
    host_config: Mapping[str, Any] = field(repr=False)

    @property
    def has_own_network(self) -> bool:
        """Whether its network is its own, so that cutting it cuts nobody else."""
        return not self.network_mode.startswith(_OWN_NETWORK)

    @property
    def serves(self) -> bool:
        """Whether it runs, and is well as far as it says."""
        return self.running and not self.paused and self.health in {"", "healthy"}


def parse_container(raw: bytes) -> Container:
    """Return the container of an engine's answer to `inspect`; InputError `containers.inspect`."""
    try:
        found = json.loads(raw)
        state, config, host = found["State"], found["Config"], found["HostConfig"]
        settings = found["NetworkSettings"]
        networks = {str(key): dict(one or {}) for key, one in (settings["Networks"] or {}).items()}
        return Container(
            id=_matching(_ID, found["Id"]),
            name=str(found["Name"]).lstrip("/"),
            image=_matching(_IMAGE, found["Image"]),
            running=_boolean(state["Running"]),
            paused=_boolean(state["Paused"]),
            pid=_number(state["Pid"]),
            started=_time(state["StartedAt"]),
            health=_health(state.get("Health")),
            networks=networks,
            network_mode=str(host["NetworkMode"]),
            sandbox=str(settings.get("SandboxKey") or ""),
            writable=_writable(found.get("Mounts"), host.get("Tmpfs")),
            config=dict(config),
            host_config=dict(host),
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(
            "containers.inspect", f"it is no container: {type(error).__name__}", where="engine"
        ) from error


def parse_changes(raw: bytes) -> list[str]:
    """Return the paths that a container added or changed; InputError `containers.changes`."""
    try:
        found = json.loads(raw)
        listed: list[Any] = [] if found is None else _listed(found)
        return [str(one["Path"]) for one in listed if one["Kind"] in {0, 1}]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(
            "containers.changes", f"it is no list of changes: {type(error).__name__}",
            where="engine",
        ) from error  # fmt: skip


def _matching(pattern: re.Pattern[str], value: object) -> str:
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise ValueError
    return value


def _listed(value: object) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError
    return value


def _boolean(value: object) -> bool:
    if not isinstance(value, bool):
        raise TypeError
    return value


def _number(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 1 << 31:
        raise ValueError
    return value


def _writable(mounts: object, tmpfs: object) -> tuple[str, ...]:
    listed = mounts if isinstance(mounts, list) else []
    named = [str(one["Destination"]) for one in listed if one["RW"]]
    own = list(tmpfs) if isinstance(tmpfs, dict) else []
    return tuple(dict.fromkeys([*named, *own, "/dev/shm"]))  # noqa: S108  # every container's own


def _health(value: object) -> str:
    status = str(value["Status"]) if isinstance(value, dict) else ""
    return "" if status == "none" else status


def _time(text: object) -> int:
    """Return RFC 3339 as nanoseconds since the epoch; 0 for the year 1, which means never."""
    found = _TIME.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        raise ValueError
    zone = "+00:00" if found[3] == "Z" else found[3]
    seconds = datetime.fromisoformat(found[1] + zone).astimezone(UTC)
    if seconds.year < 1970:
        return 0
    return int(seconds.timestamp()) * 10**9 + int((found[2] or "0").ljust(9, "0"))
