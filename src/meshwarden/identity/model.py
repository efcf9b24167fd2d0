"""The facts of identity: a trust domain's bundle, its authority, and what the authority issued.

Certificates and keys are `cryptography` objects inside and PEM outside. Private keys never appear
in a representation. Times are aware UTC.
"""

import hashlib
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from meshwarden.identity.secret import Secret
from meshwarden.kernel import SpiffeId

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

BACKDATE: Final = timedelta(seconds=60)
"""How far `not_before` lies before the moment of issuance, so that a machine whose clock is behind
accepts a fresh SVID. Zero makes fresh SVIDs fail there; much more lets a wrong clock pass."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustBundle:
    """The roots of one trust domain. Bundles of several domains are never pooled.

    Attributes:
        trust_domain: whose roots they are.
        certificates: CA certificates; none means that nothing of the domain is trusted.
    """

    trust_domain: str
    certificates: tuple[x509.Certificate, ...]

    @property
    def pem(self) -> str:
        """The roots as PEM."""
        return render_certificates(self.certificates)

    @property
    def digest(self) -> str:
        """What tells one set of roots from another: a SHA-256, in whatever order they are."""
        prints = sorted(map(fingerprint_of, self.certificates))
        return hashlib.sha256("".join(prints).encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Root:
    """A self-signed CA certificate of our own and its key; it signs intermediates alone."""

    trust_domain: str
    certificate: x509.Certificate
    key: PrivateKey = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Authority:
    """What signs the SVIDs of one trust domain.

    Attributes:
        trust_domain: the one domain that it issues for.
        issuer: the certificate whose key signs.
        intermediates: what a peer needs besides the roots, in the order of TLS: `issuer` first;
            empty where `issuer` is a root itself.
        bundle: the roots that verify what it issues.
        key: the issuer's private key.
    """

    trust_domain: str
    issuer: x509.Certificate
    intermediates: tuple[x509.Certificate, ...]
    bundle: TrustBundle
    key: PrivateKey = field(repr=False)

    @property
    def not_before(self) -> datetime:
        """The first instant at which all its certificates are valid."""
        return max(one.not_valid_before_utc for one in self._certificates)

    @property
    def not_after(self) -> datetime:
        """The last instant at which all its certificates are valid; no SVID outlives it."""
        return min(one.not_valid_after_utc for one in self._certificates)

    @property
    def _certificates(self) -> tuple[x509.Certificate, ...]:
        return (*self.intermediates, *self.bundle.certificates)


@dataclass(frozen=True, slots=True, kw_only=True)
class Svid:
    """An X.509-SVID with its private key.

    Attributes:
        identity: whom it names.
        certificate_chain: PEM, the leaf first, then the intermediates; without the root.
        private_key: PKCS #8 as PEM.
        serial: the leaf's serial number.
        not_before: the first instant of its life, `BACKDATE` before it was issued.
        not_after: the last instant of its life.
        sha256: the leaf's digest in lower-case hexadecimal, as proxies log it.
    """

    identity: SpiffeId
    certificate_chain: str
    private_key: Secret
    serial: int
    not_before: datetime
    not_after: datetime
    sha256: str

    @property
    def issued_at(self) -> datetime:
        """The instant of issuance."""
        return self.not_before + BACKDATE


def render_certificates(certificates: tuple[x509.Certificate, ...]) -> str:
    """Return the certificates as PEM, in their order."""
    return "".join(one.public_bytes(Encoding.PEM).decode() for one in certificates)


def fingerprint_of(certificate: x509.Certificate) -> str:
    """Return the SHA-256 of the certificate in lower-case hexadecimal."""
    return certificate.fingerprint(hashes.SHA256()).hex()
