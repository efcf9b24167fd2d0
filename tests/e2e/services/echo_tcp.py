"""A service of connections: sends back every octet, in capitals."""

import os
import socketserver


class Handler(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        while data := self.connection.recv(4096):
            self.connection.sendall(data.upper())


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True


Server(os.environ["MESHWARDEN_SOCKET"], Handler).serve_forever()
