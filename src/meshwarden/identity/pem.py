"""Certificates and private keys from PEM, and keys back to PEM.

Accepted keys: ECDSA on P-256, P-384 or P-521, and RSA of 2048 bits or more; proxies refuse the
rest. Nothing here judges what a certificate says.
"""

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from meshwarden.identity.model import PrivateKey
from meshwarden.identity.secret import Secret
from meshwarden.kernel import InputError

MIN_RSA_BITS = 2048
CURVES = (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)


def parse_certificates(raw: bytes, *, where: str) -> tuple[x509.Certificate, ...]:
    """Return the certificates in `raw`, at least one; InputError `identity.pem` where not."""
    try:
        return tuple(x509.load_pem_x509_certificates(raw))
    except ValueError as error:
        raise InputError(
            "identity.pem",
            "holds no readable certificate",
            where=where,
            hint="PEM: -----BEGIN CERTIFICATE-----, the issuing certificate first, then its chain",
        ) from error


def parse_private_key(raw: bytes, *, where: str) -> PrivateKey:
    """Return the private key in `raw`.

    Raises:
        InputError: `identity.key_pem` where there is none, or it is encrypted;
            `identity.key_kind` where its kind or size is not accepted.
    """
    try:
        key = load_pem_private_key(raw, password=None)
    except (ValueError, TypeError) as error:
        why = "is encrypted" if isinstance(error, TypeError) else "holds no readable private key"
        raise InputError(
            "identity.key_pem",
            why,
            where=where,
            hint="PEM without a passphrase: openssl pkey -in KEY -out PLAIN_KEY",
        ) from error
    if isinstance(key, rsa.RSAPrivateKey) and key.key_size >= MIN_RSA_BITS:
        return key
    if isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, CURVES):
        return key
    raise InputError(
        "identity.key_kind",
        "this kind or size of key is not accepted",
        where=where,
        hint=f"ECDSA on P-256, P-384 or P-521, or RSA of at least {MIN_RSA_BITS} bits",
    )


def render_private_key(key: PrivateKey) -> Secret:
    """Return the key as PKCS #8 in PEM, unencrypted."""
    raw = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return Secret(raw.decode())
