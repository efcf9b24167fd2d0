"""What the kernel knows about one process, as files for the archive.

Values of variables that look like secrets stand as SHA-256 of salt and value: whoever knows a
secret can tell whether the process had it, the archive does not give it away.
"""

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

MAX_FACT_BYTES: Final = 4 * 1024**2
_PLAIN: Final = (
    "status", "stat", "maps", "limits", "cgroup", "mountinfo", "cmdline", "io", "sched", "wchan",
    "net/tcp", "net/tcp6", "net/udp", "net/udp6", "net/unix",
)  # fmt: skip
_LINKS: Final = ("exe", "cwd", "root")
_SECRET_NAME: Final = re.compile(
    r"pass|secret|token|key|credential|auth|private|dsn|database_url|cookie|session", re.IGNORECASE
)
_SECRET_VALUE: Final = re.compile(
    r"[a-z][a-z0-9+.-]*://[^/\s:@]*:[^/\s@]+@|-----BEGIN|^[A-Za-z0-9_+/=-]{32,}$|^eyJ",
    re.IGNORECASE,
)


def facts_of(pid: int, *, salt: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of each fact of the process `pid`; what cannot be read is left out."""
    folder = Path("/proc") / str(pid)
    for name in _PLAIN:
        if (content := _read(folder / name)) is not None:
            yield f"{pid}/{name.replace('/', '-')}", content
    if (environment := _read(folder / "environ")) is not None:
        yield f"{pid}/environment", render_environment(environment, salt=salt)
    links = [f"{name} -> {target}" for name in _LINKS if (target := _link(folder / name))]
    yield f"{pid}/links", "\n".join(links).encode(errors="replace")
    yield f"{pid}/open-files", "\n".join(_open_files(folder)).encode(errors="replace")
    namespaces = [_link(one) for one in sorted((folder / "ns").glob("*"))]
    yield f"{pid}/namespaces", "\n".join(filter(None, namespaces)).encode(errors="replace")


def render_environment(raw: bytes, *, salt: bytes) -> bytes:
    r"""Return /proc/<pid>/environ a line each, values that look like secrets hashed.

    >>> render_environment(b"LANG=C\0API_TOKEN=x\0", salt=b"s").decode().splitlines()[0]
    'LANG=C'
    """
    lines = []
    for variable in raw.split(b"\0"):
        name, equals, value = variable.decode(errors="replace").partition("=")
        if not name:
            continue
        if value and (_SECRET_NAME.search(name) or _SECRET_VALUE.search(value)):
            value = f"sha256:{hashlib.sha256(salt + value.encode()).hexdigest()}"
        lines.append(f"{name}{equals}{value}")
    return "\n".join(lines).encode(errors="replace")


def _open_files(folder: Path) -> Iterator[str]:
    try:
        numbers = sorted((one.name for one in (folder / "fd").iterdir()), key=int)
    except OSError:
        return
    for number in numbers:
        if target := _link(folder / "fd" / number):
            position = (_read(folder / "fdinfo" / number) or b"").split(b"\n")[0]
            yield f"{number} -> {target} {position.decode(errors='replace')}"


def _link(path: Path) -> str | None:
    try:
        return str(path.readlink())
    except OSError:
        return None


def _read(path: Path) -> bytes | None:
    try:
        with path.open("rb") as file:
            return file.read(MAX_FACT_BYTES)
    except OSError:
        return None
