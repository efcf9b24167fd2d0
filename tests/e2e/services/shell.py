"""A service that has been taken over: runs each line that it is sent in a shell, and answers."""

import json
import os
import socketserver
import subprocess

# An ordinary program knows no proxy settings.
UNSET = ("http_proxy", "https_proxy", "no_proxy")
PLAIN = {name: value for name, value in os.environ.items() if name.lower() not in UNSET}


class Handler(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        for line in self.rfile:
            done = subprocess.run(
                ["/bin/sh", "-c", json.loads(line)],
                env=PLAIN,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=50,
                check=False,
            )
            said = done.stdout.decode(errors="replace")
            self.wfile.write(json.dumps([done.returncode, said]).encode() + b"\n")


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True


Server(os.environ["MESHWARDEN_SOCKET"], Handler).serve_forever()
