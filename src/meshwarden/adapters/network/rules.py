"""What may pass in and out of one service's network namespace: nftables, and its addresses.

Rules that hold here, whatever the access policy says (which the sidecars enforce on top):

- From outside, only the ports at which a sidecar takes mutual TLS can be reached.
- Only the sidecar's user sends to the other namespaces, and only to those ports.
- What the service sends to a name of the hosts file is turned over to its own sidecar: port 80 to
  the HTTP listener, every other to the listener that sorts connections by where they were meant to
  go. Everything else that is not loopback is dropped, IPv6 altogether.
- Where something refuses a packet in its name (`quarantine`), the RST that says so gets out.
- A connection that joined the set `SEVERED` is reset in both directions, see `established`.
"""

from dataclasses import dataclass
from typing import Final

FABRIC: Final = "10.213.0.0/24"
OUTSIDE: Final = "198.18.0.0/15"  # RFC 2544: never on the internet; stands for outside hosts
HTTP_PORT: Final = 80
TABLE: Final = "inet meshwarden"
SEVERED: Final = "severed"
"""Local address and port, remote address and port. An element is kept for as long as a connection
can go on without a word (`adapters.envoy`: a day)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One service's place in the network.

    Attributes:
        name: the service.
        address: its own, in `FABRIC`.
        sidecar_uid: whom the firewall lets out.
        inbound: ports and ranges (`a-b`) of mutual TLS.
        http_port: where its sidecar takes HTTP on loopback.
        other_port: where its sidecar takes all other connections on loopback.
    """

    name: str
    address: str
    sidecar_uid: int
    inbound: tuple[str, ...]
    http_port: int
    other_port: int


def render_firewall(place: Place) -> str:
    """Return the nftables ruleset of the service's namespace."""
    inbound = ", ".join(place.inbound)
    names = f"{{ {FABRIC}, {OUTSIDE} }}"
    redirect = f"meta skuid != {place.sidecar_uid} ip daddr {names} fib daddr type != local"
    return f"""\
table {TABLE} {{
  set {SEVERED} {{
    type ipv4_addr . inet_service . ipv4_addr . inet_service; timeout 1d;
  }}
  chain sever {{
    tcp flags & rst != 0 accept
    meta l4proto tcp reject with tcp reset
  }}
  chain input {{
    type filter hook input priority filter; policy drop;
    ip daddr . tcp dport . ip saddr . tcp sport @{SEVERED} jump sever
    iif lo accept
    ct state established accept
    iifname eth0 ip saddr {FABRIC} tcp dport {{ {inbound} }} accept
  }}
  chain forward {{
    type filter hook forward priority filter; policy drop;
  }}
  chain to_sidecar {{
    type nat hook output priority -100; policy accept;
    {redirect} tcp dport {HTTP_PORT} redirect to :{place.http_port}
    {redirect} meta l4proto tcp redirect to :{place.other_port}
  }}
  chain output {{
    type filter hook output priority filter; policy drop;
    ip saddr . tcp sport . ip daddr . tcp dport @{SEVERED} jump sever
    oif lo accept
    ip daddr 127.0.0.0/8 accept
    oifname eth0 ct state established accept
    oifname eth0 ct state related tcp flags & rst != 0 accept
    oifname eth0 meta skuid {place.sidecar_uid} ip daddr {FABRIC} tcp dport {{ {inbound} }} accept
    meta l4proto tcp reject with tcp reset
    reject
  }}
}}
"""


def render_links(place: Place, *, peer: str, fabric: str) -> str:
    """Return `ip -batch` input for the service's namespace; `fabric` is a process in the other."""
    return f"""\
link set lo up
link add eth0 type veth peer name {peer} netns {fabric}
link set eth0 addrgenmode none
addr add {place.address}/24 dev eth0
link set eth0 up
route add {OUTSIDE} dev eth0
"""
