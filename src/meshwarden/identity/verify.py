"""Whether presented certificates prove a SPIFFE ID: X509-SVID, section 5.

Steps: the leaf checks, which need no bundle and say whose bundle to take; then the certification
path against that one trust domain's bundle. Proxies do this for calls; here it is for what arrives
outside of them, and for tests. Revocation is not looked at.
"""

from collections.abc import Sequence
from datetime import datetime

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from meshwarden.identity.model import TrustBundle
from meshwarden.identity.path import describe, extension, verify_path
from meshwarden.kernel import InputError, SpiffeId, VerificationError

_PURPOSES = {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH}


def verify_svid(
    unverified: Sequence[x509.Certificate], bundle: TrustBundle, *, now: datetime
) -> SpiffeId:
    """Return the identity that the certificates prove.

    Args:
        unverified: what the peer presented: the leaf, then intermediates in order.
        bundle: the roots of the trust domain that the peer is expected to belong to.
        now: the time of day.

    Raises:
        VerificationError: `identity.not_an_svid` where a leaf check fails;
            `identity.untrusted` where the leaf belongs to another trust domain than the bundle;
            a code of `verify_path` where the path does not hold.
    """
    if not unverified:
        raise VerificationError("identity.untrusted", "no certificate was presented")
    identity = verify_leaf(unverified[0])
    if identity.trust_domain != bundle.trust_domain:
        raise VerificationError(
            "identity.untrusted",
            f"{identity} is not of the trust domain {bundle.trust_domain}",
            hint="a bundle verifies its own trust domain alone",
        )
    verify_path(unverified, bundle.certificates, now=now)
    return identity


def verify_leaf(unverified: x509.Certificate) -> SpiffeId:
    """Return the identity that the leaf claims, once its form is that of an SVID."""
    try:
        unverified.extensions  # noqa: B018  # parsed here, so that nothing below can fail on it
    except (ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType) as error:
        raise VerificationError(
            "identity.malformed", f"{describe(unverified)} has unreadable extensions: {error}"
        ) from error
    identity = _verify_name(unverified)
    basic = extension(unverified, x509.BasicConstraints)
    if basic is not None and basic.ca:  # 4.1, 5.2; absent means no CA (RFC 5280, 4.2.1.9)
        raise _refused(unverified, "a signing certificate does not authenticate (3.2)")
    _verify_key_usage(unverified)
    purposes = extension(unverified, x509.ExtendedKeyUsage)
    if purposes is not None and not set(purposes) >= _PURPOSES:  # 4.4
        raise _refused(unverified, "extendedKeyUsage lacks serverAuth or clientAuth (4.4)")
    return identity


def _verify_name(unverified: x509.Certificate) -> SpiffeId:
    """Section 2 and 3.1: one URI, a SPIFFE ID with a path; critical where the subject is empty."""
    names = extension(unverified, x509.SubjectAlternativeName)
    uris = names.get_values_for_type(x509.UniformResourceIdentifier) if names else []
    if len(uris) != 1:
        raise _refused(unverified, f"it has {len(uris)} URI names instead of one (2)")
    try:
        identity = SpiffeId.parse(uris[0])
    except InputError as error:
        raise _refused(unverified, f"{error.message} (2, 3.1)") from error
    if not unverified.subject.rdns:
        critical = unverified.extensions.get_extension_for_class(
            x509.SubjectAlternativeName
        ).critical
        if not critical:
            raise _refused(unverified, "its subject is empty and its names are not critical (3.1)")
    return identity


def _verify_key_usage(unverified: x509.Certificate) -> None:
    """Section 4.3 and 5.2."""
    try:
        found = unverified.extensions.get_extension_for_class(x509.KeyUsage)
    except x509.ExtensionNotFound:
        raise _refused(unverified, "it has no keyUsage (4.3)") from None
    if not found.critical:
        raise _refused(unverified, "its keyUsage is not critical (4.3)")
    if not found.value.digital_signature:
        raise _refused(unverified, "its keyUsage lacks digitalSignature (4.3)")
    if found.value.key_cert_sign or found.value.crl_sign:
        raise _refused(unverified, "its keyUsage has keyCertSign or cRLSign (4.3)")


def _refused(unverified: x509.Certificate, why: str) -> VerificationError:
    return VerificationError(
        "identity.not_an_svid", f"{describe(unverified)} is no X.509-SVID: {why}"
    )
