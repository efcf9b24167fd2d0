"""The identities of a running plane: what was issued, what is revoked, which authorities count.

Holds the register and the authorities, and says what follows from them for the sidecars: the bundle
with one revocation list for each issuer, and what is contained.

- Nothing is issued that cannot be recorded: a full disk stops issuing, and sidecars keep what they
  have. A revocation that cannot be recorded is in force all the same; a finding says so, and it is
  recorded as soon as the disk takes it.
- Lists are made anew when what they hold changes, and daily, long before they end.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import structlog
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from meshwarden.adapters.envoy.containment import Containment
from meshwarden.adapters.storage.lists import FileLists
from meshwarden.adapters.storage.register import FileRegister
from meshwarden.identity import (
    Authority,
    Kind,
    Record,
    Register,
    Svid,
    Trust,
    issue_crl,
    issuer_name,
    render_crl,
    signs_crls,
)
from meshwarden.identity.crl import is_due
from meshwarden.kernel import Clock, DependencyError
from meshwarden.tokens import RevokedKind

_log = structlog.get_logger()
"""Under this name the register counts the changes of the trust bundle."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _List:
    """A revocation list, the serial numbers in it, and both of its encodings."""

    serials: frozenset[int]
    crl: x509.CertificateRevocationList
    pem: str
    der: bytes


@dataclass(kw_only=True)
class Identities:
    """Register, revocation lists and authorities.

    Attributes:
        store: keeps the register.
        lists: keeps the revocation lists, so that a new start sends nobody what they have.
        clock: the time of day.
        trust: the authorities; replaced as a whole when they change.
        unrecorded: told when something that is in force cannot be recorded.
        contained_tokens: sessions, subjects and transactions whose tokens are refused.
        quarantined: services in quarantine; of each the certificates that are refused with it, by
            SHA-256, and the identity that they name.
        unsent: those of them to whom nobody is sent.
        awaited: those of them for whom callers wait.
    """

    store: FileRegister
    lists: FileLists
    clock: Clock
    trust: Trust
    unrecorded: Callable[[DependencyError], None] = lambda _: None
    contained_tokens: Callable[[], Mapping[RevokedKind, frozenset[str]]] = dict
    quarantined: Callable[[], Mapping[str, Mapping[str, str]]] = dict
    unsent: Callable[[], frozenset[str]] = frozenset
    awaited: Callable[[], frozenset[str]] = frozenset
    register: Register = field(init=False)
    _lists: dict[str, _List] = field(init=False, default_factory=dict)
    _unsaved: list[Record] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        self.register = self.store.load()

    def issued(self, instance: str, svid: Svid, *, authority: Authority, renewed: bool) -> None:
        """Record an SVID before it is handed out; DependencyError where that cannot be."""
        record = Record(
            time=self.clock.now(),
            kind=Kind.RENEWED if renewed else Kind.ISSUED,
            identity=str(svid.identity),
            instance=instance,
            serial=svid.serial,
            sha256=svid.sha256,
            issuer=issuer_name(authority),
            not_after=svid.not_after,
        )
        self.store.append([record])
        self.register.apply(record)

    def note(self, records: Iterable[Record]) -> bool:
        """Put `records` in force; return whether they could be recorded by now."""
        records = list(records)
        for record in records:
            self.register.apply(record)
        self._unsaved += records
        return self._save()

    @property
    def lists_revocations(self) -> bool:
        """Whether every authority may sign revocation lists; else none is handed out."""
        return all(map(signs_crls, self.trust.authorities))

    @property
    def crls(self) -> str:
        """The revocation list of each issuer as PEM; nothing where one of them may not sign any."""
        if not self.lists_revocations:
            return ""
        return "".join(self._list_of(one).pem for one in self.trust.authorities)

    def crls_der(self) -> list[bytes]:
        """Return the same lists one by one, DER."""
        if not self.lists_revocations:
            return []
        return [self._list_of(one).der for one in self.trust.authorities]

    def containment(self) -> Containment:
        """Return what is cut off on open connections."""
        in_force = self.register.in_force(now=self.clock.now())
        tokens, none = self.contained_tokens(), frozenset[str]()
        quarantined = self.quarantined()
        certificates = {sha256: record.identity for sha256, record in in_force.items()}
        for held in quarantined.values():
            certificates |= held
        return Containment(
            sessions=tokens.get(RevokedKind.SESSION, none),
            subjects=tokens.get(RevokedKind.SUBJECT, none),
            transactions=tokens.get(RevokedKind.TRANSACTION, none),
            certificates=certificates,
            withheld=frozenset(self.register.withheld) - self.awaited() | self.unsent(),
        )

    def look(self) -> None:
        """Record what could not be recorded before; forget what is over."""
        self._save()
        if self.register.forget(now=self.clock.now()):
            try:
                self.store.compact(self.register)
            except DependencyError as error:
                _log.warning("register_not_compacted", error=str(error))

    def _list_of(self, authority: Authority) -> _List:
        issuer, now = issuer_name(authority), self.clock.now()
        revoked = self.register.listed(issuer, now=now)
        serials = frozenset(one.serial for one in revoked)
        held = self._lists.get(issuer)
        if held is not None and held.serials == serials and not is_due(held.crl, now=now):
            return held
        crl = self.lists.load(authority) if held is None else None
        if crl is None or {one.serial_number for one in crl} != serials or is_due(crl, now=now):
            number = self.register.next_number(issuer)
            crl = issue_crl(authority, revoked, number=number, now=now)
            self.note([Record(time=now, kind=Kind.LISTED, issuer=issuer, number=number)])
            self.lists.store(authority, crl)
        self._lists[issuer] = _List(
            serials=serials, crl=crl, pem=render_crl(crl), der=crl.public_bytes(Encoding.DER)
        )
        return self._lists[issuer]

    def _save(self) -> bool:
        if not self._unsaved:
            return True
        try:
            self.store.append(self._unsaved)
        except DependencyError as error:
            self.unrecorded(error)
            return False
        self._unsaved.clear()
        return True
