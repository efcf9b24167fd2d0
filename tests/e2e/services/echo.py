"""A service that knows nothing of meshwarden: answers each request with what it saw of it."""

import http.server
import json
import os
import socketserver


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        seen = {
            "method": self.command,
            "path": self.path,
            "headers": dict(self.headers),
            "body": len(body),
            "pid": os.getpid(),
        }
        answer = json.dumps(seen).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    do_GET = do_POST = do_PUT = do_DELETE = answer

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass

    def address_string(self) -> str:
        return "unix"


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    request_queue_size = 128


Server(os.environ["MESHWARDEN_SOCKET"], Handler).serve_forever()
