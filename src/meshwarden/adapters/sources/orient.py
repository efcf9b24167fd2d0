"""Which end of a connection is the server, where a log may have seen only the middle of it.

A client's port is picked anew for each connection; a server's comes again. So, in this order: a
well-known port against one that is none; a port that several clients met at the same host against
one that nobody did; below the ephemeral range (32768, Linux; 49152, IANA) against within it. Where
nothing tells, the log's own direction stands.
"""

from typing import Final

from meshwarden.adapters.sources.row import Row

_EPHEMERAL: Final = 32_768
_WELL_KNOWN_MAX: Final = 1023
_REGISTERED: Final = frozenset(
    {
        1433, 1521, 1883, 2049, 2375, 2376, 2379, 2380, 3000, 3128, 3260, 3268, 3306, 3389, 4222,
        4317, 4318, 5000, 5044, 5432, 5601, 5671, 5672, 5900, 5985, 5986, 6379, 6443, 7000, 7687,
        8000, 8008, 8080, 8081, 8086, 8200, 8300, 8301, 8443, 8500, 8600, 8888, 9000, 9042, 9090,
        9092, 9093, 9100, 9200, 9300, 9411, 9443, 10250, 10255, 11211, 15006, 15008, 15017, 15021,
        15090, 15672, 16686, 26379, 27017, 50051,
    }
)  # fmt: skip
_REMEMBERED: Final = 65_536
_CLIENTS: Final = 3


class Orienter:
    """Turns reversed connections; remembers which endpoints served several clients."""

    def __init__(self) -> None:
        self._clients: dict[tuple[str, int], set[tuple[str, int]]] = {}

    def turned(self, row: Row) -> Row:
        """Return `row` with the server's end as its destination."""
        source, destination = row.get("source_port"), row.get("destination_port")
        if source is None or destination is None:
            return row
        here = (row.get("source_instance") or row["source"], source)
        there = (row.get("destination_instance") or row["destination"], destination)
        if self._rank(here) > self._rank(there):
            self._meet(server=here, client=there)
            return _reversed(row)
        self._meet(server=there, client=here)
        return row

    def _rank(self, endpoint: tuple[str, int]) -> tuple[bool, bool, bool]:
        port = endpoint[1]
        known = 0 < port <= _WELL_KNOWN_MAX or port in _REGISTERED
        served = len(self._clients.get(endpoint, ())) >= _CLIENTS
        return known, served, port < _EPHEMERAL

    def _meet(self, *, server: tuple[str, int], client: tuple[str, int]) -> None:
        clients = self._clients.get(server)
        if clients is None:
            if len(self._clients) >= _REMEMBERED:
                self._clients = {
                    end: met for end, met in self._clients.items() if len(met) >= _CLIENTS
                }
                if len(self._clients) >= _REMEMBERED // 2:
                    self._clients.clear()
            clients = self._clients[server] = set()
        if len(clients) < _CLIENTS:
            clients.add(client)


def _reversed(row: Row) -> Row:
    turned = row.copy()
    turned["source"], turned["destination"] = row["destination"], row["source"]
    turned["source_instance"] = row.get("destination_instance")
    turned["destination_instance"] = row.get("source_instance")
    turned["source_port"], turned["destination_port"] = (
        row.get("destination_port"),
        row.get("source_port"),
    )
    turned["request_bytes"] = row.get("response_bytes")
    turned["response_bytes"] = row.get("request_bytes")
    return turned
