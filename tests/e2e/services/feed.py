"""A service that talks without being asked twice: ten octets every 10 ms, until nobody listens.

HTTP requests are answered with a chunked stream, other connections once their first octet is there.
"""

import contextlib
import os
import socketserver
import time

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ntransfer-encoding: chunked\r\n\r\n"


class Handler(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        piece = b"0123456789"
        if self.request.recv(4096).startswith((b"GET ", b"POST ")):
            self.request.sendall(HEAD)
            piece = b"a\r\n0123456789\r\n"
        with contextlib.suppress(OSError):
            while True:
                self.request.sendall(piece)
                time.sleep(0.01)


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True


Server(os.environ["MESHWARDEN_SOCKET"], Handler).serve_forever()
