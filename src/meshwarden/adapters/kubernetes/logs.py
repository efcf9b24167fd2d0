"""Which pod a log line comes from, and the line itself without what was put around it.

Three wrappings are known: the container runtime's files (CRI: `<time> stdout F <line>`, long lines
in parts), Docker's (`{"log": "<line>"}`), and `kubectl logs --prefix`
(`[pod/<pod>/<container>] <line>`). The pod stands in the prefix or in the file's name, as the
kubelet makes it.
"""

import json
import re
from dataclasses import dataclass
from typing import Final

_CRI: Final = re.compile(rb"\d{4}-\d\d-\d\dT\S{8,30} (?:stdout|stderr) ([FP])(?::\S*)? ")
_PREFIX: Final = re.compile(rb"\[pod/([a-z0-9.-]{1,253})/[a-z0-9.-]{1,253}\] ")
_PODS: Final = re.compile(r"([a-z0-9-]{1,63})_([a-z0-9.-]{1,253})_[0-9a-f-]{32,36}")
_CONTAINERS: Final = re.compile(r"([a-z0-9.-]{1,253})_([a-z0-9-]{1,63})_.{1,253}-[0-9a-f]{64}\.log")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wrapped:
    """A line without its wrapping.

    Attributes:
        line: what the process wrote.
        pod: whose line it is; None where the wrapping does not say.
        partial: whether the line goes on in the next one.
    """

    line: bytes
    pod: str | None = None
    partial: bool = False


def unwrap(line: bytes) -> Wrapped | None:
    """Return what is in `line`; None where it has no wrapping."""
    found = _PREFIX.match(line)
    if found:
        return Wrapped(line=line[found.end() :], pod=found.group(1).decode())
    found = _CRI.match(line)
    if found:
        return Wrapped(line=line[found.end() :], partial=found.group(1) == b"P")
    if line.startswith(b'{"log":"'):
        return _docker(line)
    return None


def pod_of_file(path: str) -> tuple[str, str] | None:
    """Return (namespace, pod) that the name of a kubelet's log file tells; None for other files.

    >>> pod_of_file("/var/log/pods/shop_web-0_0f2b7a52-5d1c-4a0e-9f0e-6a2b0a4f9c11/proxy/0.log")
    ('shop', 'web-0')
    """
    *folders, name = path.split("/")
    found = _CONTAINERS.fullmatch(name)
    if found:
        return found.group(2), found.group(1)
    for folder in folders[-2:]:
        found = _PODS.fullmatch(folder)
        if found:
            return found.group(1), found.group(2)
    return None


def _docker(line: bytes) -> Wrapped | None:
    try:
        inner = json.loads(line)["log"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    if not isinstance(inner, str):
        return None
    text = inner.encode("utf-8", "replace")
    return Wrapped(line=text.rstrip(b"\r\n"), partial=not text.endswith(b"\n"))
