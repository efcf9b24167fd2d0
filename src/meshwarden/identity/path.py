"""Certification paths: RFC 5280, section 6.1, for the short and ordered paths of SPIFFE.

The presented certificates are taken in their order (TLS 1.3: each certifies the one before it); no
path is searched for. Steps, each naming its clause:

1. the path ends at a root of the bundle;
2. each certificate is valid now, readable, and holds no critical extension unknown to us;
3. each is named and signed by the next;
4. each but the first is a CA, may sign certificates, and allows the length of path below it;
5. no name lies outside the name constraints of any certificate above.

Roots are judged like the rest (RFC 5280 leaves that open; Envoy and OpenSSL do it). Certificate
policies are not processed. Revocation belongs after step 2 and arrives with certificate revocation
lists.

`cryptography` has a verifier of its own; it refuses every URI name constraint, and so all of ours.
"""

from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise
from typing import Final, TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes

from meshwarden.identity.constraints import verify_names
from meshwarden.kernel import VerificationError

_Extension = TypeVar("_Extension", bound=x509.ExtensionType)

MAX_PATH: Final = 8
_HASHES: Final = (hashes.SHA256, hashes.SHA384, hashes.SHA512)
_UNDERSTOOD: Final = (
    x509.BasicConstraints,
    x509.KeyUsage,
    x509.ExtendedKeyUsage,
    x509.NameConstraints,
    x509.SubjectAlternativeName,
    x509.SubjectKeyIdentifier,
    x509.AuthorityKeyIdentifier,
)


def verify_path(
    unverified: Sequence[x509.Certificate], roots: Sequence[x509.Certificate], *, now: datetime
) -> tuple[x509.Certificate, ...]:
    """Return the proven path, the first certificate of `unverified` first, a root of `roots` last.

    Raises:
        VerificationError: `identity.untrusted`, `identity.expired`, `identity.not_yet_valid`,
            `identity.malformed`, `identity.signature`, `identity.not_a_ca`,
            `identity.path_length`, `identity.name_constraints`.
    """
    path = _end_at_root(unverified, roots)  # 1
    for certificate in path:  # 2
        verify_validity(certificate, now=now)
        _verify_extensions(certificate)
    for child, issuer in pairwise(path):  # 3
        _verify_issued(child, issuer)
    for below, issuer in enumerate(path[1:]):  # 4
        verify_signing(issuer, below=below)
    for depth, issuer in enumerate(path):  # 5: 6.1.3 (b) and (c), 6.1.4 (g)
        constraints = extension(issuer, x509.NameConstraints)
        if constraints is not None:
            for certificate in path[:depth]:
                verify_names(certificate, constraints)
    return path


def verify_validity(certificate: x509.Certificate, *, now: datetime) -> None:
    """Raise VerificationError where `now` is outside the certificate's validity (6.1.3 (a)(2))."""
    if now < certificate.not_valid_before_utc:
        raise VerificationError(
            "identity.not_yet_valid",
            f"{describe(certificate)} is not valid before {certificate.not_valid_before_utc}",
            hint="compare this machine's clock with the issuer's",
        )
    if now > certificate.not_valid_after_utc:
        raise VerificationError(
            "identity.expired",
            f"{describe(certificate)} expired at {certificate.not_valid_after_utc}",
            hint="renew it, or compare this machine's clock with the issuer's",
        )


def verify_signing(certificate: x509.Certificate, *, below: int) -> None:
    """Raise VerificationError where this is no CA for a path with `below` CAs below it.

    RFC 5280, 6.1.4 (k) to (n); X509-SVID, 4.1 and 4.3.
    """
    basic = extension(certificate, x509.BasicConstraints)
    if basic is None or not basic.ca:
        raise _not_a_ca(certificate, "basicConstraints does not say so")
    usage = extension(certificate, x509.KeyUsage)
    if usage is None or not usage.key_cert_sign:
        raise _not_a_ca(certificate, "keyUsage lacks keyCertSign")
    if basic.path_length is not None and below > basic.path_length:
        raise VerificationError(
            "identity.path_length",
            f"{describe(certificate)} allows {basic.path_length} authorities below it,"
            f" here are {below}",
        )


def extension(certificate: x509.Certificate, kind: type[_Extension]) -> _Extension | None:
    """Return the extension's value; None where the certificate has none of this kind."""
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def describe(certificate: x509.Certificate) -> str:
    """Return a short name of the certificate for messages."""
    return f"certificate {certificate.subject.rfc4514_string() or f'{certificate.serial_number:x}'}"


def _end_at_root(
    unverified: Sequence[x509.Certificate], roots: Sequence[x509.Certificate]
) -> tuple[x509.Certificate, ...]:
    if not 1 <= len(unverified) <= MAX_PATH:
        raise VerificationError(
            "identity.untrusted", f"a path has 1 to {MAX_PATH} certificates, not {len(unverified)}"
        )
    if unverified[-1] in roots:
        return tuple(unverified)
    for root in roots:
        if root.subject == unverified[-1].issuer and _signed(unverified[-1], root):
            return (*unverified, root)
    raise VerificationError(
        "identity.untrusted",
        f"no root of the trust bundle issued {describe(unverified[-1])}",
        hint="the peer belongs to another authority, or its chain lacks an intermediate",
    )


def _verify_issued(child: x509.Certificate, issuer: x509.Certificate) -> None:
    """6.1.3 (a)(1) and (a)(4); key identifiers must agree where both are there (4.2.1.1)."""
    claimed = extension(child, x509.AuthorityKeyIdentifier)
    actual = extension(issuer, x509.SubjectKeyIdentifier)
    identifier = claimed.key_identifier if claimed else None
    agrees = identifier is None or actual is None or identifier == actual.digest
    if child.issuer != issuer.subject or not agrees or not _signed(child, issuer):
        raise VerificationError(
            "identity.signature", f"{describe(child)} was not signed by {describe(issuer)}"
        )


def _signed(child: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        if not isinstance(child.signature_hash_algorithm, _HASHES):
            return False
        child.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def _verify_extensions(certificate: x509.Certificate) -> None:
    """6.1.4 (o) and 6.1.5 (f): what is critical and not understood refuses the path."""
    try:
        extensions = list(certificate.extensions)
    except (ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType) as error:
        raise VerificationError(
            "identity.malformed", f"{describe(certificate)} has unreadable extensions: {error}"
        ) from error
    for one in extensions:
        if one.critical and not isinstance(one.value, _UNDERSTOOD):
            raise VerificationError(
                "identity.malformed",
                f"{describe(certificate)} has the unknown critical extension"
                f" {one.oid.dotted_string}",
            )


def _not_a_ca(certificate: x509.Certificate, why: str) -> VerificationError:
    return VerificationError(
        "identity.not_a_ca",
        f"{describe(certificate)} is no certificate authority: {why}",
        hint="issue it with basicConstraints CA:TRUE and keyUsage keyCertSign",
    )
