"""A workload that holds its SVID with an independent client, in files for the test to use.

    hold_identity.py DIRECTORY

`1.pem`, `2.pem` and so on are the SVIDs as they come, key first; `ended` holds the client's error.
"""

import signal
import sys
from itertools import count
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from spiffe import WorkloadApiClient
from spiffe.workloadapi.x509_context import X509Context

directory, numbers = Path(sys.argv[1]), count(1)


def store(name: str, raw: bytes) -> None:
    (directory / "draft").write_bytes(raw)
    (directory / "draft").rename(directory / name)


def take(context: X509Context) -> None:
    svid = context.default_svid
    key = svid.private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    chain = b"".join(one.public_bytes(Encoding.PEM) for one in svid.cert_chain)
    store(f"{next(numbers)}.pem", key + chain)


with WorkloadApiClient() as client:
    client.stream_x509_contexts(
        take, lambda error: store("ended", str(error).encode()), retry_connect=False
    )
    signal.sigwait({signal.SIGTERM})
