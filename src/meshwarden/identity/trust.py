"""Which authorities a trust domain has at one moment: the one that signs, others that still count.

Replacing an authority without refusing anyone takes three steps, and each state is a `Trust`:

1. prepared: a successor exists. Its root is in everyone's bundle, and its revocation list (empty)
   is at every verifier, but it has signed nothing. Verifiers refuse what a trusted issuer without a
   list has signed, so this comes first also where only the intermediate changes.
2. switched: the successor signs. The predecessor is retired: what it signed is still good, so its
   root stays in the bundle, and its key stays, to sign revocation lists.
3. over: nothing that it signed lives any longer. It leaves bundle and disk.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime

from cryptography import x509

from meshwarden.identity.model import Authority, TrustBundle


@dataclass(frozen=True, slots=True, kw_only=True)
class Retired:
    """An authority that signs revocation lists alone; `until`: when its last certificate ends."""

    authority: Authority
    until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """The authorities of one trust domain.

    Attributes:
        current: signs certificates.
        prepared: will sign them once every verifier knows it; None outside of a rotation.
        retired: signed what is still in use.
    """

    current: Authority
    prepared: Authority | None = None
    retired: tuple[Retired, ...] = ()

    @property
    def authorities(self) -> Iterator[Authority]:
        """All of them, each once; the one that signs first."""
        seen: set[str] = set()
        prepared = (self.prepared,) if self.prepared else ()
        for one in (self.current, *prepared, *(old.authority for old in self.retired)):
            if issuer_name(one) not in seen:
                seen.add(issuer_name(one))
                yield one

    @property
    def bundle(self) -> TrustBundle:
        """All roots that verify what is in use or will be."""
        roots: dict[x509.Certificate, None] = {}
        for one in self.authorities:
            roots |= dict.fromkeys(one.bundle.certificates)
        return TrustBundle(trust_domain=self.current.trust_domain, certificates=tuple(roots))

    def switched(self, *, until: datetime) -> "Trust":
        """Return the state in which the prepared authority signs.

        Args:
            until: when the last certificate ends that the current one has signed.
        """
        if self.prepared is None:
            return self
        old = Retired(authority=self.current, until=until)
        return Trust(current=self.prepared, retired=(old, *self.retired))

    def without_ended(self, *, now: datetime) -> "Trust":
        """Return the state without the authorities of which nothing lives any longer."""
        left = tuple(old for old in self.retired if old.until >= now)
        return self if len(left) == len(self.retired) else replace(self, retired=left)


def issuer_name(authority: Authority) -> str:
    """Return a short name of the authority's issuing certificate: its serial number."""
    return f"{authority.issuer.serial_number:x}"
