"""The names that an isolated service can resolve: every other service, and its outside hosts.

There is no other resolver in its network. The addresses lead to its own sidecar, whatever they are:
that of a service is the service's own, that of an outside host stands for it and is nobody's.
"""

import hashlib
import ipaddress
import os
from typing import Final

from meshwarden.control.layout import Layout
from meshwarden.policy import AccessPolicy

_STANDING_FOR_OUTSIDE: Final = ipaddress.ip_network("198.18.0.0/15")


def outside_addresses(policy: AccessPolicy) -> dict[str, str]:
    """Return an address for each outside host that the policy names.

    A host keeps its address when others come and go, unless two of them meet on one: a program
    that remembers an address is not led to another host.
    """
    hosts = {egress.host for service in policy.services.values() for egress in service.egress}
    taken: dict[int, str] = {}
    for host in sorted(hosts):
        number = int.from_bytes(hashlib.sha256(host.encode()).digest()[:4], "big")
        size = _STANDING_FOR_OUTSIDE.num_addresses
        while (place := number % size) in taken:
            number += 1
        taken[place] = host
    return {host: str(_STANDING_FOR_OUTSIDE[place]) for place, host in taken.items()}


def store_hosts(policy: AccessPolicy, layout: Layout) -> None:
    """Write the hosts file of every service in place: a running service has this very file."""
    for name in layout.names:
        data = render_hosts(name, policy, layout).encode()
        layout.etc_dir(name).mkdir(mode=0o700, parents=True, exist_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        file = os.open(layout.hosts(name), flags, 0o644)
        try:
            os.fchmod(file, 0o644)
            os.pwrite(file, data, 0)
            os.ftruncate(file, len(data))
        finally:
            os.close(file)


def render_hosts(name: str, policy: AccessPolicy, layout: Layout) -> str:
    """Return the hosts file of the service `name`."""
    at = outside_addresses(policy)
    lines = ["127.0.0.1 localhost", *(f"{layout.host(other)} {other}" for other in layout.names)]
    listed = sorted({egress.host for egress in policy.services[name].egress})
    lines += [f"{at[host]} {host}" for host in listed]
    return "\n".join(lines) + "\n"
