"""What was issued, renewed, refused and revoked: the register of one authority's certificates.

`Record` is what happened, one line of the log; `Register` is what follows from all of them. Rules:

- Order does not matter: a certificate is revoked once any record says so, whatever came before or
  after. Nothing un-revokes a certificate; a service is given another one instead.
- A service that is withheld gets no certificate that counts, until a record restores it.
- JWT-SVIDs name no instance: those of an identity that were issued until a moment end together.
- Space is bounded: certificates are forgotten `KEPT` after their end, refusals beyond
  `MAX_REFUSALS` likewise. The record that something was revoked is kept.

Pure: records come from a store, and what to append is returned to the caller.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from meshwarden.identity.crl import RevokedSerial

KEPT: Final = timedelta(days=1)
"""How long after its end a certificate can still be looked up. Calls that it made may be asked
about; each day costs about 50 records of a workload with the default lifetime."""

LISTED: Final = timedelta(hours=1)
"""How long after its end a revoked certificate stays on lists: clocks of verifiers may be behind
(RFC 5280, 3.3 asks for one list after the end)."""

TOKENS_KEPT: Final = timedelta(hours=2)
"""How long it is remembered that an identity's JWT-SVIDs were ended: none of them lives longer."""

MAX_REFUSALS: Final = 1000


class Kind(StrEnum):
    """What a record says happened."""

    ISSUED = "issued"
    RENEWED = "renewed"
    REFUSED = "refused"
    REVOKED = "revoked"
    WITHHELD = "withheld"
    RESTORED = "restored"
    LISTED = "listed"
    TOKENS_ENDED = "tokens-ended"


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One thing that happened.

    Attributes:
        time: when.
        kind: what.
        identity: the SPIFFE ID concerned; empty where none is known.
        instance: the service or workload that holds the certificate; empty where none is known.
        serial: the certificate's serial number.
        sha256: the certificate's digest, lower-case hexadecimal.
        issuer: the issuer's name, see `Trust`.
        not_after: when the certificate ends.
        number: of the revocation list that a `listed` record is about.
        reason: why, in words; of refusals and revocations.
    """

    time: datetime
    kind: Kind
    identity: str = ""
    instance: str = ""
    serial: int | None = None
    sha256: str = ""
    issuer: str = ""
    not_after: datetime | None = None
    number: int | None = None
    reason: str = ""


@dataclass(slots=True)
class Register:
    """What follows from the records applied so far."""

    issued: dict[str, Record] = field(default_factory=dict)
    revoked: dict[str, Record] = field(default_factory=dict)
    withheld: dict[str, Record] = field(default_factory=dict)
    tokens_ended: dict[str, Record] = field(default_factory=dict)
    refusals: deque[Record] = field(default_factory=lambda: deque(maxlen=MAX_REFUSALS))
    _lists: dict[str, Record] = field(default_factory=dict)

    def apply(self, record: Record) -> None:
        """Take in one record; the same one twice is the same as once, but for refusals."""
        match record.kind:
            case Kind.ISSUED | Kind.RENEWED:
                self.issued[record.sha256] = record
            case Kind.REVOKED:
                self.revoked.setdefault(record.sha256, record)
            case Kind.WITHHELD:
                self.withheld[record.instance] = record
            case Kind.RESTORED:
                self.withheld.pop(record.instance, None)
            case Kind.REFUSED:
                self.refusals.append(record)
            case Kind.TOKENS_ENDED:
                before = self.tokens_ended.get(record.identity)
                if before is None or before.time < record.time:
                    self.tokens_ended[record.identity] = record
            case Kind.LISTED:
                if (record.number or 0) >= self.next_number(record.issuer):
                    self._lists[record.issuer] = record

    def find(self, name: str) -> Record | None:
        """Return the certificate with this SHA-256 or serial number (hexadecimal, any case)."""
        wanted = name.lower().replace(":", "")
        if wanted in self.issued:
            return self.issued[wanted]
        serial = wanted.lstrip("0")
        same = (one for one in self.issued.values() if f"{one.serial or 0:x}" == serial)
        return next(same, None)

    def held_by(self, instance: str, *, now: datetime) -> list[Record]:
        """Return the live certificates of an instance, newest last."""
        live = [one for one in self.live(now=now) if one.instance == instance]
        return sorted(live, key=lambda one: one.time)

    def live(self, *, now: datetime) -> Iterator[Record]:
        """Yield the certificates that have not ended, revoked ones too."""
        return (one for one in self.issued.values() if one.not_after and one.not_after >= now)

    def in_force(self, *, now: datetime) -> dict[str, Record]:
        """Return the revocations that still matter, by SHA-256."""
        return {
            sha256: record
            for sha256, record in self.revoked.items()
            if record.not_after is None or record.not_after + LISTED >= now
        }

    def listed(self, issuer: str, *, now: datetime) -> list[RevokedSerial]:
        """Return what the revocation list of `issuer` holds."""
        return [
            RevokedSerial(serial=record.serial, time=record.time)
            for record in self.in_force(now=now).values()
            if record.serial is not None and record.issuer == issuer
        ]

    def last_list(self, issuer: str) -> Record | None:
        """Return the record of the last list of `issuer`."""
        return self._lists.get(issuer)

    def next_number(self, issuer: str) -> int:
        """Return a number that no list of `issuer` had yet."""
        last = self._lists.get(issuer)
        return 1 if last is None else (last.number or 0) + 1

    def last_end(self, issuer: str) -> datetime | None:
        """Return when the last certificate of `issuer` that is known ends; None: none is known."""
        ends = (one.not_after for one in self.issued.values() if one.issuer == issuer)
        return max((end for end in ends if end is not None), default=None)

    def forget(self, *, now: datetime) -> bool:
        """Forget what ended `KEPT` ago; return whether there was anything."""
        over = [
            sha256
            for sha256, record in self.issued.items()
            if record.not_after is not None and record.not_after + KEPT < now
        ]
        for sha256 in over:
            del self.issued[sha256]
        old = [name for name, one in self.tokens_ended.items() if one.time + TOKENS_KEPT < now]
        for name in old:
            del self.tokens_ended[name]
        return bool(over or old)

    def records(self) -> Iterator[Record]:
        """Yield records from which an equal register follows."""
        yield from self.issued.values()
        yield from self.revoked.values()
        yield from self.withheld.values()
        yield from self.tokens_ended.values()
        yield from self.refusals
        yield from self._lists.values()


def register_of(records: Iterable[Record]) -> Register:
    """Return the register that follows from `records`."""
    register = Register()
    for record in records:
        register.apply(record)
    return register
