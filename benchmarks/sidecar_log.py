"""Lines of our sidecars' access logs for benchmarks: requests of a small bank, from both ends."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from meshwarden.adapters.envoy.accesslog_call import Naming
from meshwarden.adapters.yaml import load_document
from meshwarden.control.plane.naming import naming_of
from meshwarden.policy import parse_policy

DOMAIN: Final = "spiffe://bank.example/ns/core/sa/"
EDGES: Final = (
    ("gateway", "payments"), ("payments", "ledger"), ("payments", "limits"), ("payments", "risk"),
    ("statements", "ledger"), ("gateway", "statements"), ("risk", "ledger"),
    ("payments", "notifications"),
)  # fmt: skip
SERVICES: Final = tuple(dict.fromkeys(name for edge in EDGES for name in edge))
_CERTIFICATE: Final = "8f89da759cc5a20c96c48ebb2ffec95d7e72ba980cf0d4b8589fa0c9b74a5a16"


def outbound(number: int, start_ns: int, destination: str) -> bytes:
    """Return the caller's line of one request."""
    return (
        f'{{"authority":"{destination}","call":"{number:08x}-7f32-462e-8d19-5c5d516333b5"'
        f',"details":"via_upstream","flags":"-","kind":"outbound","local":"127.0.0.1:44237"'
        f',"method":"GET","ms":2,"ns":{2_859_467 + number % 1000}'
        f',"path":"/v1/accounts/{number * 7919 % 1_000_003}/entries"'
        f',"remote":"127.0.0.1:{30_000 + number % 20_000}","rx":0,"start":"{start_ns}"'
        f',"status":200,"to":"{DOMAIN}{destination}","tx":{number % 5000}'
        f',"uremote":"127.0.0.1:32837"}}\n'
    ).encode()


def inbound(number: int, start_ns: int, source: str, destination: str) -> bytes:
    """Return the callee's line of the same request."""
    return (
        f'{{"call":"{number:08x}-7f32-462e-8d19-5c5d516333b5","cert":"{_CERTIFICATE}"'
        f',"details":"via_upstream","flags":"-","hs":1284567,"kind":"inbound"'
        f',"local":"127.0.0.1:32837","method":"GET","ms":0,"ns":{199_307 + number % 1000}'
        f',"path":"/v1/accounts/{number * 7919 % 1_000_003}/entries"'
        f',"peer":"{DOMAIN}{source}","remote":"127.0.0.1:{30_000 + number % 20_000}"'
        f',"rule":"{destination}.accepts[0]","rx":0,"start":"{start_ns + 500_000}","status":200'
        f',"tx":{number % 5000},"txn":"txn-{number // 3:x}"}}\n'
    ).encode()


def requests(first: int, count: int) -> Iterator[tuple[int, str, str]]:
    """Return number, caller and callee of some requests."""
    for number in range(first, first + count):
        yield number, *EDGES[number % len(EDGES)]


def naming(scratch: Path) -> Naming:
    """Return what the control plane knows of names: a policy that allows the bank's requests."""
    lines = ["apiVersion: meshwarden.dev/v1", "trust_domain: bank.example", "services:"]
    for name in SERVICES:
        lines += [f"  {name}:", f"    identity: {DOMAIN}{name}"]
        callers = ", ".join(source for source, destination in EDGES if destination == name)
        if callers:
            rule = f"{{from: [{callers}], methods: [GET], paths: ['/v1/accounts/{{id}}/entries']}}"
            lines += ["    accepts:", f"      - {rule}"]
    path = scratch / "access.yaml"
    path.write_text("\n".join(lines) + "\n")
    return naming_of(parse_policy(load_document(path)))
