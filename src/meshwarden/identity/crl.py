"""Certificate revocation lists: which certificates of one issuer are refused before their end.

RFC 5280, section 5. What proxies make of them decides the form (each was tried on Envoy 1.40):

- A list past its `nextUpdate` refuses every certificate of its issuer. `LIFETIME` is therefore
  longer than any SVID lives: when a control plane stays away, SVIDs end before their list does.
- A trusted issuer without a list refuses all its certificates: there is one list for each issuer,
  also where nothing is revoked.
- `thisUpdate` lies in the past like a CA's `not_before`, for machines whose clock is behind.
- Numbers only grow (5.2.3); the caller keeps the last one.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from meshwarden.identity.authority import CA_BACKDATE
from meshwarden.identity.issue import authority_key_identifier, hash_for
from meshwarden.identity.model import Authority
from meshwarden.identity.path import extension

LIFETIME: Final = timedelta(days=7)
"""Beyond the longest SVID (a day). Shorter than that, an outage of the control plane would refuse
certificates that are still good; much longer helps nobody, since SVIDs have ended by then."""

RENEW_AFTER: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class RevokedSerial:
    """One entry: a serial number, and when it was revoked."""

    serial: int
    time: datetime


def issue_crl(
    authority: Authority, revoked: Iterable[RevokedSerial], *, number: int, now: datetime
) -> x509.CertificateRevocationList:
    """Return the list of `authority`.

    Args:
        authority: whose certificates are listed; its key signs. See `signs_crls`.
        revoked: what is refused.
        number: larger than any that this issuer used before.
        now: the time of day.
    """
    now = now.replace(microsecond=0)
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(authority.issuer.subject)
        .last_update(now - CA_BACKDATE)
        .next_update(now + LIFETIME)
        .add_extension(authority_key_identifier(authority.issuer, authority.key), critical=False)
        .add_extension(x509.CRLNumber(number), critical=False)
    )
    for serial, time in sorted({one.serial: one.time for one in revoked}.items()):
        entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(time)
        builder = builder.add_revoked_certificate(entry.build())
    return builder.sign(authority.key, hash_for(authority.key))


def render_crl(crl: x509.CertificateRevocationList) -> str:
    """Return the list as PEM."""
    return crl.public_bytes(Encoding.PEM).decode()


def signs_crls(authority: Authority) -> bool:
    """Return whether verifiers accept lists of this issuer: cRLSign, or no keyUsage (6.3.3 (f)).

    An authority that a user brings may lack it. Its certificates cannot be listed then, and a proxy
    that looked for a list would refuse them all.
    """
    usage = extension(authority.issuer, x509.KeyUsage)
    return usage is None or usage.crl_sign


def is_due(crl: x509.CertificateRevocationList, *, now: datetime) -> bool:
    """Return whether to replace the list: a day old, or from a clock that was set back since."""
    made = crl.last_update_utc + CA_BACKDATE
    return made > now or now - made >= RENEW_AFTER
