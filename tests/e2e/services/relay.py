"""A service that passes on: `/to/<service>/<rest>` goes to that service as `/<rest>`, else it echoes.

`/late` fails once the file `<socket>.go` is there, and makes `<socket>.in` before it waits for it.

With a request goes its transaction token, and nothing else. What fails is answered 502, without a
word of why, as services do that know nothing of assurance.
"""

import http.client
import http.server
import json
import os
import pathlib
import socketserver
import time
import urllib.parse

PROXY = urllib.parse.urlsplit(os.environ["HTTP_PROXY"])


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        if self.path.startswith("/to/"):
            _, _, service, rest = self.path.split("/", 3)
            self.relay(service, "/" + rest, body)
        elif self.path == "/late":
            own = os.environ["MESHWARDEN_SOCKET"]
            pathlib.Path(f"{own}.in").touch()
            while not pathlib.Path(f"{own}.go").exists():
                time.sleep(0.02)
            self.reply(500, b"")
        else:
            seen = {"path": self.path, "headers": self.headers.items(), "body": body.decode()}
            self.reply(200, json.dumps(seen).encode())

    def relay(self, service: str, path: str, body: bytes) -> None:
        token = self.headers.get("txn-token")
        headers = {} if token is None else {"txn-token": token}
        onward = http.client.HTTPConnection(PROXY.hostname or "", PROXY.port, timeout=30)
        onward.request(self.command, f"http://{service}{path}", body or None, headers)
        answer = onward.getresponse()
        raw = answer.read()
        onward.close()
        if answer.status == 200:
            self.reply(200, raw)
        else:
            self.reply(502, b'{"code": "upstream.failed"}')

    def reply(self, status: int, raw: bytes) -> None:
        self.send_response(status)
        self.send_header("content-length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    do_GET = do_POST = do_PUT = do_DELETE = answer

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass

    def address_string(self) -> str:
        return "unix"


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    request_queue_size = 128


Server(os.environ["MESHWARDEN_SOCKET"], Handler).serve_forever()
