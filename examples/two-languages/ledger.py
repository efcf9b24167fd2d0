"""A ledger on a Unix socket, standard library only; who may call it stands in access.yaml."""

import json
import os
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingMixIn, UnixStreamServer

BALANCES = {"1": 1200, "2": 350}


class Ledger(BaseHTTPRequestHandler):
    """Answers every GET and DELETE: the policy alone stands between it and its callers."""

    protocol_version = "HTTP/1.1"

    def answer(self) -> None:
        """Send the balance of the account that the path ends with."""
        account = self.path.rpartition("/")[2]
        body = json.dumps({"account": account, "balance": BALANCES.get(account)}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_DELETE = answer  # noqa: N815  # the names that the base class looks for

    def address_string(self) -> str:
        """Return the caller's name for the log; the peer of a Unix socket has no address."""
        return "sidecar"


class Server(ThreadingMixIn, UnixStreamServer):
    """One thread a connection."""

    daemon_threads = True


if __name__ == "__main__":
    path = os.environ["MESHWARDEN_SOCKET"]  # noqa: TID251  # this is the entry point
    Server(path, Ledger).serve_forever()
