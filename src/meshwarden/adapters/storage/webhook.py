"""Files of the admission webhook: its CA, and the certificate that Envoy reads.

The CA is made once, in one file of mode 0600 (certificate and key), and found again. Certificate
and key of the server go into one file as well, replaced by one rename, so that Envoy, which watches
the folder, never pairs a new certificate with an old key.
"""

import json
import os
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from meshwarden.adapters.storage.durable import write_whole
from meshwarden.identity import parse_certificates, parse_private_key, render_private_key
from meshwarden.identity.webhook import (
    ServerCertificate,
    WebhookAuthority,
    create_webhook_authority,
)
from meshwarden.kernel import ConfigError, DependencyError

CA: Final = "webhook-ca.pem"
SECRET: Final = "webhook-secret.json"  # noqa: S105  # a file's name


def load_or_create_webhook_authority(
    folder: Path, name: str, *, now: datetime, draw_serial: Callable[[], int]
) -> WebhookAuthority:
    """Return the CA kept in `folder`, made there if there is none.

    Raises:
        ConfigError: `admission.ca` where the CA there is for another name.
        InputError: where the file is damaged.
        DependencyError: `admission.storage` where the disk refuses.
    """
    path = folder / CA
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not path.exists():
            made = create_webhook_authority(name, now=now, serial=draw_serial())
            pem = made.certificate.public_bytes(Encoding.PEM).decode()
            _write(path, pem + render_private_key(made.key).reveal())
        raw = path.read_bytes()
    except OSError as error:
        raise _refused(path, error) from error
    certificate, key = parse_certificates(raw, where=str(path))[0], _key(raw, path)
    constraints = certificate.extensions.get_extension_for_class(x509.NameConstraints).value
    if constraints.permitted_subtrees != [x509.DNSName(name)]:
        hint = f"remove {path}; the webhook configuration then needs the new caBundle"
        raise ConfigError("admission.ca", f"the CA in {path} is not for {name}", hint=hint)
    return WebhookAuthority(name=name, certificate=certificate, key=key)


def store_server_certificate(folder: Path, issued: ServerCertificate) -> Path:
    """Write what Envoy's SDS reads, in place of what was there; return the file."""
    secret = {
        "resources": [
            {
                "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret",
                "name": "webhook",
                "tls_certificate": {
                    "certificate_chain": {"inline_string": issued.certificate_chain},
                    "private_key": {"inline_string": issued.private_key.reveal()},
                },
            }
        ]
    }
    path = folder / SECRET
    try:
        _write(path, json.dumps(secret))
    except OSError as error:
        raise _refused(path, error) from error
    return path


def _write(path: Path, text: str) -> None:
    def fill(temporary: Path) -> None:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(text)

    write_whole(path, fill)


def _key(raw: bytes, path: Path) -> ec.EllipticCurvePrivateKey:
    start = raw.find(b"-----BEGIN PRIVATE KEY-----")
    key = parse_private_key(raw[max(start, 0) :], where=str(path))
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ConfigError("admission.ca", f"the key in {path} is none of ours", hint="remove it")
    return key


def _refused(path: Path, error: OSError) -> DependencyError:
    text = f"cannot keep {path}: {error.strerror}"
    return DependencyError("admission.storage", text, hint="check the folder and its permissions")
