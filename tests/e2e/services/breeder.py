"""A service that fights: each of its processes starts another one and ends, for ever."""

import contextlib
import os
import signal
import time

signal.signal(signal.SIGCHLD, signal.SIG_IGN)
for _ in range(4):
    if os.fork() == 0:
        while True:
            with contextlib.suppress(OSError):  # as many as it may have
                if os.fork():
                    os._exit(0)
            time.sleep(0.001)
while True:
    signal.pause()
