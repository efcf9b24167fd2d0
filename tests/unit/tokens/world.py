"""A small world: a token policy, an identity provider's key, our key, and requests for tokens."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from meshwarden.adapters.yaml import parse_document
from meshwarden.kernel import SpiffeId
from meshwarden.tokens import (
    Exchanged,
    ExchangeRequest,
    Expected,
    IssuedToken,
    OAuthError,
    Revocations,
    SigningKey,
    Subject,
    SubjectKind,
    TokenPolicy,
    UnverifiedToken,
    create_key,
    exchange,
    issue_token,
    parse_request,
    parse_token_policy,
    published_keys,
    subject_of_token,
    verify_access_token,
    verify_txn_token,
)
from meshwarden.tokens.jws import sign_compact
from meshwarden.tokens.risk import Assessment

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
NOW_S = int(NOW.timestamp())
DOMAIN = "bank.example"
ISSUER = "https://idp.bank.example"
AUDIENCE = "https://api.bank.example"
GATEWAY = SpiffeId.parse(f"spiffe://{DOMAIN}/ns/edge/sa/gateway")
PAYMENTS = SpiffeId.parse(f"spiffe://{DOMAIN}/ns/core/sa/payments")
SCORING = SpiffeId.parse(f"spiffe://{DOMAIN}/ns/risk/sa/scoring")
STRANGER = SpiffeId.parse(f"spiffe://{DOMAIN}/ns/x/sa/stranger")
SERVICES = {
    "gateway": GATEWAY,
    "payments": PAYMENTS,
    "scoring": SCORING,
    "token-service": SpiffeId.parse(f"spiffe://{DOMAIN}/meshwarden/token-service"),
}
POLICY = f"""\
apiVersion: meshwarden.dev/v1
issuer: https://tokens.bank.example
assurance: [pwd, mfa]
issuers:
  - {{issuer: "{ISSUER}", audience: "{AUDIENCE}"}}
scopes:
  accounts:read: {{}}
  transfer:write: {{acr: mfa, max_age_s: 900, lifetime_s: 20}}
  ledger:post: {{covered_by: [transfer:write]}}
  report:run: {{}}
clients:
  gateway: {{scopes: [accounts:read, transfer:write, ledger:post], exchange: true}}
  payments: {{scopes: [transfer:write], replace: true}}
  scoring: {{scopes: [report:run, accounts:read], own: [report:run]}}
risk: {{step_up: 2, deny: 10}}
"""


def token_policy(text: str = POLICY) -> TokenPolicy:
    document = parse_document(text.encode(), name="tokens.yaml")
    return parse_token_policy(document, trust_domain=DOMAIN, services=SERVICES)


def form(**changes: str | None) -> bytes:
    """Return the body of a right request, with these parameters changed; None removes one."""
    fields: dict[str, str | None] = {
        "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
        "requested_token_type": "urn:ietf:params:oauth:token-type:txn_token",
        "audience": DOMAIN,
        "scope": "transfer:write",
        "subject_token": "a.b.c",
        "subject_token_type": SubjectKind.ACCESS_TOKEN.value,
        "request_context": '{"req_ip": "203.0.113.9", "secret": "x"}',
        "request_details": '{"amount_minor": 4200}',
    }
    fields |= changes
    return urlencode({k: v for k, v in fields.items() if v is not None}).encode()


def request(**changes: str | None) -> ExchangeRequest:
    found = parse_request(form(**changes))
    assert isinstance(found, ExchangeRequest), found
    return found


@dataclass
class World:
    """Keys and policy of one trust domain."""

    policy: TokenPolicy = field(default_factory=token_policy)
    idp: SigningKey = field(default_factory=lambda: create_key(NOW - timedelta(hours=1)))
    ours: SigningKey = field(default_factory=lambda: create_key(NOW - timedelta(hours=1)))

    def access_token(self, *, typ: str = "at+jwt", **changes: Any) -> UnverifiedToken:
        claims: dict[str, Any] = {
            "iss": ISSUER, "aud": AUDIENCE, "sub": "8f21", "client_id": "app", "jti": "j1",
            "iat": NOW_S - 10, "exp": NOW_S + 600, "scope": "accounts:read transfer:write",
            "acr": "mfa", "auth_time": NOW_S - 60, "sid": "session-1",
        }  # fmt: skip
        claims = {k: v for k, v in (claims | changes).items() if v is not None}
        return sign_compact(claims, self.idp.jose, algorithm="ES256", kid=self.idp.kid, typ=typ)

    def subject(self, **changes: Any) -> Subject:
        keys = {self.idp.kid: self.idp.public}
        issuer = self.policy.issuers[ISSUER]
        return verify_access_token(self.access_token(**changes), issuer, keys, now=NOW)

    def exchange(
        self,
        asked: ExchangeRequest | None = None,
        client: SpiffeId = GATEWAY,
        subject: Subject | None = None,
        *,
        now: datetime = NOW,
        risk: Assessment | None = None,
        revoked: Revocations | None = None,
    ) -> Exchanged | OAuthError:
        more = {} if revoked is None else {"revoked": revoked}
        return exchange(
            asked or request(),
            client,
            subject or self.subject(),
            self.policy,
            now=now,
            transaction="t-1",
            risk=risk,
            **more,
        )

    def issued(self, **options: Any) -> IssuedToken:
        found = self.exchange(**options)
        assert isinstance(found, Exchanged), found
        return issue_token(found, self.ours)[0]

    def replacement_subject(self, token: UnverifiedToken, *, now: datetime = NOW) -> Subject:
        expected = Expected(trust_domain=DOMAIN, issuer=self.policy.issuer)
        keys = published_keys([self.ours], now=now)
        return subject_of_token(verify_txn_token(token, keys, expected, now=now))
