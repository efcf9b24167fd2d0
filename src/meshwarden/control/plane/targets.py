"""Which certificates are meant by what someone asks to be revoked."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

from meshwarden.control.plane.identities import Identities
from meshwarden.identity import Bundle, Kind, Record, issuer_name, parse_certificates
from meshwarden.identity.model import fingerprint_of
from meshwarden.identity.verify import verify_leaf, verify_svid
from meshwarden.kernel import Clock, InputError, VerificationError

_BEGIN: Final = "-----BEGIN CERTIFICATE-----"


@dataclass(kw_only=True)
class Targets:
    """Finds certificates of a running mesh, and those of federated trust domains.

    Attributes:
        identities: register and authorities.
        services: the names of the mesh's services.
        clock: the time of day.
        federated: bundles of other trust domains, whose certificates can be cut off here too.
    """

    identities: Identities
    services: Collection[str]
    clock: Clock
    federated: Callable[[], Mapping[str, Bundle]] = dict

    def find(self, target: str) -> list[Record]:
        """Return the certificates that `target` names, at least one.

        Args:
            target: as for `Revoker.revoke`.

        Raises:
            InputError: `identity.unknown_certificate` where nothing live is named; a code of
                `parse_certificates`.
            VerificationError: where no authority that is known here signed what is presented.
        """
        register, now = self.identities.register, self.clock.now()
        if _BEGIN in target:
            return [self._presented(target.encode())]
        if target in self.services:
            found = register.held_by(target, now=now)
        else:
            one = register.find(target)
            found = [one] if one else []
            found = found or [r for r in register.live(now=now) if r.identity == target]
        if not found:
            raise InputError(
                "identity.unknown_certificate",
                f"nothing that is still valid was issued under {target[:128]!r}",
                where="request",
                hint="name a service, a SPIFFE ID, a SHA-256 or a serial number of `meshwarden"
                " identity list`, or give the certificate's PEM file",
            )
        return found

    def names_identity(self, target: str) -> bool:
        """Return whether `target` names all that an identity has, rather than one certificate."""
        return target in self.services or target.startswith("spiffe://")

    def _presented(self, unverified: bytes) -> Record:
        """Return the record of a certificate that is presented, once it is known whose it is."""
        chain = parse_certificates(unverified, where="certificate")
        certificate = chain[0]
        for authority in self.identities.trust.authorities:
            if _signed(certificate, authority.issuer):
                identity, known = verify_leaf(certificate), self.identities.register.issued
                found = self._record(certificate, str(identity), issuer_name(authority))
                return known.get(found.sha256, found)
        return self._presented_by_other(chain)

    def _presented_by_other(self, chain: tuple[x509.Certificate, ...]) -> Record:
        """Return the record of a certificate of a federated trust domain.

        Its issuer is that domain: a serial number of theirs must never get on a list of ours.
        """
        domain = verify_leaf(chain[0]).trust_domain
        bundle = self.federated().get(domain)
        if bundle is None:
            raise VerificationError(
                "identity.untrusted",
                "no authority that this mesh knows signed that certificate: it is refused anyway",
            )
        identity = verify_svid(chain, bundle.roots, now=self.clock.now())
        return self._record(chain[0], str(identity), domain)

    def _record(self, certificate: x509.Certificate, identity: str, issuer: str) -> Record:
        return Record(
            time=self.clock.now(),
            kind=Kind.ISSUED,
            identity=identity,
            serial=certificate.serial_number,
            sha256=fingerprint_of(certificate),
            issuer=issuer,
            not_after=certificate.not_valid_after_utc,
        )


def _signed(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True
