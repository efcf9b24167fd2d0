"""A service that fights: it ends itself again and again, and says so to whoever is connected."""

import contextlib
import os
import socket

with socket.create_server(("0.0.0.0", 5432)) as server:  # noqa: S104
    server.settimeout(0.05)
    with contextlib.suppress(TimeoutError):
        caller, _ = server.accept()
        caller.sendall(b"beat\n" * 100)
os._exit(1)
