"""The intruder's process: carries out one attack from inside a compromised service.

`python -m meshwarden.lab.attacks.intruder ATTACK --foothold JSON --seconds S --seed N`, started as
the service's user in the service's network. It has what the service has: the sidecar's proxy in
HTTP_PROXY, the sockets of that network, and what it stole elsewhere (MESHWARDEN_LOOT). Each step
that is over is a JSON line on stdout: what it was, and what the intruder saw. Whether the attack
succeeded is judged elsewhere.
"""

import argparse
import json
import os
import socket
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection, HTTPException
from typing import Any, Final
from urllib.parse import urlsplit

from meshwarden.lab.attacks import ATTACKS
from meshwarden.lab.attacks.model import LOOT, Foothold, Loot, Step, Way, chance_of

TIMEOUT_S: Final = 5.0
_AT_ONCE: Final = 8
_LISTEN_S: Final = 1.0
_REFUSAL: Final = b"HTTP/1.1 403 "


def main(arguments: Sequence[str]) -> None:
    """Carry out the attack that the arguments name."""
    parser = argparse.ArgumentParser(prog="intruder")
    parser.add_argument("attack", choices=ATTACKS)
    parser.add_argument("--foothold", required=True, help="what he found, as JSON")
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--seed", type=int, required=True)
    options = parser.parse_args(arguments)
    environment = os.environ  # noqa: TID251  # entry point
    foothold = parse_foothold(options.foothold, environment.get(LOOT, "[]"))
    proxy = urlsplit(environment["HTTP_PROXY"])
    where = (str(proxy.hostname), int(proxy.port or 80))
    plan = ATTACKS[options.attack].plan(
        foothold, chance_of(options.seed, options.attack), options.seconds
    )
    begin = time.monotonic()
    with ThreadPoolExecutor(_AT_ONCE) as hands:
        for step in plan:
            pause_s = max(0.0, begin + step.at_s - time.monotonic())
            time.sleep(pause_s)  # noqa: TID251  # the plan's own pace
            hands.submit(_carry_out, step, where)


def parse_foothold(text: str, loot: str = "[]") -> Foothold:
    """Return the foothold that `json.dumps(asdict(...))` wrote, with a JSON list of tokens."""
    raw: dict[str, Any] = json.loads(text)
    lists = {name: tuple(value) for name, value in raw.items() if isinstance(value, list)}
    tokens = tuple(Loot(token=token) for token in json.loads(loot))
    return Foothold(**raw | lists | {"loot": tokens})


def _carry_out(step: Step, proxy: tuple[str, int]) -> None:
    at = time.time_ns()
    try:
        saw = _ask(step, proxy) if step.way is Way.PROXY else _knock(step)
    except (OSError, HTTPException) as error:
        saw = {"error": type(error).__name__}
    told = {
        "at": at,
        "end": time.time_ns(),
        "way": step.way,
        "host": step.host,
        "port": step.port,
        "method": step.method,
        "path": step.path,
        "octets": len(step.body),
        **saw,
    }
    sys.stdout.write(json.dumps(told) + "\n")  # one write a line: several threads tell
    sys.stdout.flush()


def _ask(step: Step, proxy: tuple[str, int]) -> dict[str, object]:
    """Send a request to the sidecar, as any HTTP library does that finds HTTP_PROXY."""
    connection = HTTPConnection(*proxy, timeout=TIMEOUT_S)
    try:
        headers = dict(step.headers)
        if step.body:
            headers["content-type"] = "application/json"
        connection.request(
            step.method, f"http://{step.host}{step.path}", body=step.body or None, headers=headers
        )
        response = connection.getresponse()
        response.read()
    finally:
        connection.close()
    return {"status": response.status, "answered": response.status not in {403, 502, 503, 504}}


def _knock(step: Step) -> dict[str, object]:
    """Connect, ask, and listen: only octets that come back are an answer."""
    with socket.create_connection((step.host, step.port), timeout=_LISTEN_S) as end:
        end.sendall(f"GET / HTTP/1.1\r\nhost: {step.host}\r\n\r\n".encode())
        said = end.recv(64)
    # A web port leads to the sidecar as well, whose own refusal is no answer.
    return {"answered": bool(said) and not said.startswith(_REFUSAL)}


if __name__ == "__main__":
    main(sys.argv[1:])
