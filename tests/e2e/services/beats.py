"""A service that sends a beat every few milliseconds to whoever is connected: who runs, and reaches.

On the Unix socket of a mesh, or on port 5432. One line in is a command: `fork` starts a child that
lasts, `die` ends the service, `write PATH` leaves a file behind; answered by `done`.
"""

import contextlib
import os
import pathlib
import socket
import socketserver
import subprocess
import threading

EVERY_S = 0.02


class Handler(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        over = threading.Event()
        threading.Thread(target=self.beat, args=(over,), daemon=True).start()
        with contextlib.suppress(OSError):
            for line in self.rfile:
                obey(line.decode().split())
                self.wfile.write(b"done\n")
        over.set()

    def beat(self, over: threading.Event) -> None:
        number = 0
        with contextlib.suppress(OSError):
            while not over.wait(EVERY_S):
                number += 1
                self.wfile.write(b"%d\n" % number)


def obey(words: list[str]) -> None:
    match words:
        case ["fork"]:
            subprocess.Popen(["sleep", "1000"], start_new_session=True)  # noqa: S607
        case ["die"]:
            os._exit(1)
        case ["write", path]:
            pathlib.Path(path).write_text("left behind")


class UnixServer(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True


class TcpServer(socketserver.ThreadingTCPServer):
    daemon_threads = True
    address_family = socket.AF_INET
    allow_reuse_address = True


if path := os.environ.get("MESHWARDEN_SOCKET"):
    UnixServer(path, Handler).serve_forever()
TcpServer(("0.0.0.0", 5432), Handler).serve_forever()  # noqa: S104
