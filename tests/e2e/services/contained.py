"""A service in a container: all that it has of the mesh is the directory /mesh.

Answers each request with what it can do: whether `back` answers it through its sidecar, and whether
somebody left loot behind.
"""

import contextlib
import http.client
import http.server
import json
import os
import pathlib
import socket
import socketserver

MESH = pathlib.Path("/mesh")
LOOT = pathlib.Path("/tmp/loot")  # noqa: S108  # the container's own


class Outbound(http.client.HTTPConnection):
    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(5)
        self.sock.connect(str(MESH / "out.sock"))


def ask_back() -> int | str:
    connection = Outbound("back")
    try:
        connection.request("GET", "/v1/ping")
        return connection.getresponse().status
    except OSError as error:
        return type(error).__name__
    finally:
        connection.close()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        answer = json.dumps({"back": ask_back(), "loot": LOOT.exists()}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass

    def address_string(self) -> str:
        return "unix"


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True


os.umask(0o007)  # its sidecar connects by the socket's group
with contextlib.suppress(FileNotFoundError):
    (MESH / "app.sock").unlink()
Server(str(MESH / "app.sock"), Handler).serve_forever()
