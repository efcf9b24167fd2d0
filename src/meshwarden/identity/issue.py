"""X.509-SVIDs: what a workload proves its identity with.

The X509-SVID standard decides the form. Where it leaves a choice:

- The subject is empty and the alternative name therefore critical (3.1). The identity stands in one
  place only, and nothing else can be mistaken for it.
- The one alternative name is the SPIFFE ID; no DNS names, which our own name constraints exclude.
- A fresh P-256 key for each issuance: a key that leaked is worth no more than its certificate.

Who may have which identity is decided by the caller; that place belongs to attestation.
"""

from datetime import datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from meshwarden.identity.authority import require_serial
from meshwarden.identity.model import (
    BACKDATE,
    Authority,
    PrivateKey,
    Svid,
    fingerprint_of,
    render_certificates,
)
from meshwarden.identity.pem import render_private_key
from meshwarden.kernel import ConfigError, SpiffeId, StateError

LIFETIME_S: Final = 3600
"""One hour: what a stolen key is worth at most. Minutes cost a handshake and a signature more often
and leave less time to repair a failing authority; days make revocation the only defence."""

MAX_LIFETIME_S: Final = 24 * 3600
_P384_BITS: Final = 384


def issue_svid(
    authority: Authority,
    identity: SpiffeId,
    *,
    now: datetime,
    serial: int,
    lifetime_s: int = LIFETIME_S,
) -> Svid:
    """Return a fresh SVID for `identity`, valid from a little before `now`.

    Args:
        authority: signs it; the SVID ends no later than any of its certificates.
        identity: a workload of the authority's trust domain.
        now: the time of day, in whole seconds (a fraction is cut off, as X.509 has none).
        serial: random, 64 to 159 bits.
        lifetime_s: seconds from `now`, 1 to 86,400.

    Raises:
        ConfigError: `identity.foreign_identity`, `identity.lifetime`, `identity.serial`.
        StateError: `identity.authority_not_valid` where the authority has expired or is not yet
            valid: its end, or a clock that jumped. Nothing is issued then.
    """
    if identity.trust_domain != authority.trust_domain:
        raise ConfigError(
            "identity.foreign_identity",
            f"the authority of {authority.trust_domain} issues nothing for {identity}",
            hint="give the service an identity of the policy's own trust domain",
        )
    if not 1 <= lifetime_s <= MAX_LIFETIME_S:
        raise ConfigError(
            "identity.lifetime", f"an SVID lives 1 to {MAX_LIFETIME_S} seconds, not {lifetime_s}"
        )
    now = now.replace(microsecond=0)
    if not authority.not_before <= now < authority.not_after:
        raise StateError(
            "identity.authority_not_valid",
            f"the certificate authority is valid from {authority.not_before} to"
            f" {authority.not_after}, and it is {now}",
            hint="check the clock; an authority that expired has to be renewed",
        )
    key = ec.generate_private_key(ec.SECP256R1())
    not_before = now - BACKDATE
    not_after = min(now + timedelta(seconds=lifetime_s), authority.not_after)
    certificate = (
        _leaf_builder(identity, key.public_key())
        .issuer_name(authority.issuer.subject)
        .serial_number(require_serial(serial))
        .not_valid_before(not_before)
        .not_valid_after(not_after)
        .add_extension(authority_key_identifier(authority.issuer, authority.key), critical=False)
        .sign(authority.key, hash_for(authority.key))
    )
    return Svid(
        identity=identity,
        certificate_chain=render_certificates((certificate, *authority.intermediates)),
        private_key=render_private_key(key),
        serial=serial,
        not_before=not_before,
        not_after=not_after,
        sha256=fingerprint_of(certificate),
    )


def _leaf_builder(identity: SpiffeId, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    usage = x509.KeyUsage(
        digital_signature=True, content_commitment=False, key_encipherment=False,
        data_encipherment=False, key_agreement=False, key_cert_sign=False, crl_sign=False,
        encipher_only=False, decipher_only=False,
    )  # fmt: skip
    purposes = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    name = x509.UniformResourceIdentifier(str(identity))
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .public_key(key)
        .add_extension(x509.SubjectAlternativeName([name]), critical=True)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def authority_key_identifier(
    issuer: x509.Certificate, key: PrivateKey
) -> x509.AuthorityKeyIdentifier:
    """Return what names the issuer's key, taken from its own certificate where that names it."""
    try:
        own = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    except x509.ExtensionNotFound:
        return x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key())
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(own)


def hash_for(key: PrivateKey) -> hashes.SHA256 | hashes.SHA384 | hashes.SHA512:
    """Return a digest as strong as the key."""
    if isinstance(key, ec.EllipticCurvePrivateKey) and key.key_size >= _P384_BITS:
        return hashes.SHA384() if key.key_size == _P384_BITS else hashes.SHA512()
    return hashes.SHA256()
