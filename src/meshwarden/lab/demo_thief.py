"""Certificates as a thief holds them, and as anyone can forge them."""

import secrets
from datetime import datetime
from pathlib import Path

from meshwarden.identity import Authority, create_authority, create_root, issue_svid
from meshwarden.kernel import SpiffeId
from meshwarden.lab.attempts import Credentials


def forged_authority(trust_domain: str, *, now: datetime) -> Authority:
    """Return an authority that claims the bank's trust domain, as anyone can make one."""
    root = create_root(trust_domain, now=now, serial=_serial())
    return create_authority(root, now=now, serial=_serial())


def store_credentials(
    path: Path, signer: Authority, identity: SpiffeId, now: datetime
) -> Credentials:
    """Write a certificate by `signer` with its key into the file `path`."""
    svid = issue_svid(signer, identity, now=now, serial=_serial())
    path.touch(mode=0o600)
    path.write_text(svid.private_key.reveal() + svid.certificate_chain)
    return Credentials(pem=path, sha256=svid.sha256)


def _serial() -> int:
    return secrets.randbits(126) | 1 << 126
