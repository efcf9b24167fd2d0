"""Verifies subject tokens: finds whose keys to take, and remembers what held, by digest.

An access token is exchanged again and again through its life; its signature is verified once. A
remembered one is forgotten with its key, and never outlives itself.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import httpx

from meshwarden.adapters.oidc.keys import IssuerKeys
from meshwarden.identity import is_ended
from meshwarden.kernel import Clock, SpiffeId
from meshwarden.tokens import (
    Expected,
    Revocations,
    Subject,
    SubjectKind,
    TokenError,
    TokenPolicy,
    UnverifiedToken,
    VerificationKey,
    issuer_of,
    subject_of_token,
    verify_access_token,
    verify_self_signed,
    verify_txn_token,
)
from meshwarden.tokens.jws import parse_compact

MAX_REMEMBERED: Final = 50_000
KeysByKid = Mapping[str, VerificationKey]


@dataclass(kw_only=True)
class Subjects:
    """Subject tokens of one trust domain.

    Attributes:
        policy: issuance policy, as it stands.
        client: fetches keys.
        clock: the time of day.
        own_keys: what verifies our transaction tokens.
        workload_keys: what verifies the trust domain's JWT-SVIDs.
        revoked: what is revoked.
        workload_ended: until when issued JWT-SVIDs of an identity count no more; None: all count.
    """

    policy: Callable[[], TokenPolicy]
    client: httpx.AsyncClient
    clock: Clock
    own_keys: Callable[[], KeysByKid]
    workload_keys: Callable[[], KeysByKid]
    revoked: Callable[[], Revocations]
    workload_ended: Callable[[SpiffeId], datetime | None] = lambda _: None
    _issuers: dict[str, IssuerKeys] = field(default_factory=dict)
    _remembered: OrderedDict[str, tuple[Subject, str, str]] = field(default_factory=OrderedDict)

    async def verify(
        self,
        unverified: UnverifiedToken,
        kind: SubjectKind,
        client: SpiffeId,
        *,
        now: datetime,
        certificate_key: VerificationKey | None = None,
    ) -> Subject:
        """Return what a subject token proves.

        Raises:
            TokenError: where it proves nothing.
            DependencyError: `token.issuer_keys` where its issuer's keys cannot be had.
        """
        if kind is SubjectKind.ACCESS_TOKEN:
            return await self._access_token(unverified, now)
        policy = self.policy()
        if kind is SubjectKind.SELF_SIGNED:
            keys = dict(self.workload_keys())
            if certificate_key is not None:
                keys[certificate_key.kid] = certificate_key
            subject = verify_self_signed(unverified, client, keys, audience=policy.issuer, now=now)
            self._require_not_ended(unverified, subject, client, certificate_key)
            return subject
        expected = Expected(trust_domain=policy.trust_domain, issuer=policy.issuer)
        token = verify_txn_token(
            unverified, self.own_keys(), expected, now=now, revoked=self.revoked()
        )
        return subject_of_token(token)

    def _require_not_ended(
        self,
        unverified: UnverifiedToken,
        subject: Subject,
        client: SpiffeId,
        certificate_key: VerificationKey | None,
    ) -> None:
        """Raise TokenError where a JWT-SVID was ended; a certificate's own key ends with that."""
        _, kid = issuer_of(parse_compact(unverified))
        by_certificate = certificate_key is not None and kid == certificate_key.kid
        if not by_certificate and is_ended(subject.issued, self.workload_ended(client)):
            raise TokenError(
                "token.revoked", "the tokens that this workload had by then were revoked",
                clause="Transaction Tokens, Subject Token Types",
            )  # fmt: skip

    def keys_of(self, issuer: str) -> IssuerKeys:
        """Return the keys of a configured issuer; TokenError `token.issuer` of any other."""
        configured = self.policy().issuers.get(issuer)
        if configured is None:
            raise TokenError("token.issuer", "its issuer is not configured", clause="RFC 9068, 4")
        held = self._issuers.get(issuer)
        if held is None or held.issuer != configured:
            held = self._issuers[issuer] = IssuerKeys(configured, self.client, self.clock)
        return held

    async def begin(self) -> bool:
        """Fetch the keys of every issuer for the first time; return whether all are at hand."""
        found = [await self.keys_of(issuer).begin() for issuer in self.policy().issuers]
        return all(found)

    async def _access_token(self, unverified: UnverifiedToken, now: datetime) -> Subject:
        digest = unverified.digest
        remembered = self._remembered.get(digest)
        if remembered is not None:
            subject, issuer, kid = remembered
            if now.timestamp() < subject.expires and self.keys_of(issuer).known(kid) is not None:
                return subject
            del self._remembered[digest]
        parsed = parse_compact(unverified)
        issuer, kid = issuer_of(parsed)
        keys = self.keys_of(issuer)
        found = await keys.keys(kid)
        subject = verify_access_token(unverified, keys.issuer, found, now=now, parsed=parsed)
        self._remembered[digest] = subject, issuer, kid
        if len(self._remembered) > MAX_REMEMBERED:
            self._remembered.popitem(last=False)
        return subject
