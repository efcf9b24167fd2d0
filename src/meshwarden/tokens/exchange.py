"""The exchange: whether a workload gets a token, and what it says. One pure step.

In the order of Transaction Tokens, "Txn-Token Request Processing"; the client is authenticated and
the subject token verified before:

1. the audience is this trust domain;
2. the workload may use this kind of subject, and ask for these scopes;
3. the authority behind the subject covers them; where it cannot be told, nothing is issued;
4. session, subject and transaction are not revoked;
5. the subject was authenticated surely and recently enough, also for the risk of this request;
6. claims: a fresh `txn`, or that of the token that is replaced; never more than it had.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from meshwarden.kernel import SpiffeId
from meshwarden.tokens.chain import Link, link_of
from meshwarden.tokens.errors import OAuthCode, OAuthError
from meshwarden.tokens.model import MIN_LIFETIME_S, Claims
from meshwarden.tokens.policy import Grant, TokenPolicy
from meshwarden.tokens.request import ExchangeRequest
from meshwarden.tokens.revocation import NOTHING_REVOKED, Revocations
from meshwarden.tokens.risk.model import Assessment, Verdict
from meshwarden.tokens.subject import Subject, SubjectKind

NO_GRANT: Final = Grant(scopes=frozenset())


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchanged:
    """What is to be signed and handed out, and what is to be recorded first."""

    claims: Claims
    link: Link


def exchange(
    request: ExchangeRequest,
    client: SpiffeId,
    subject: Subject,
    policy: TokenPolicy,
    *,
    now: datetime,
    transaction: str,
    risk: Assessment | None = None,
    revoked: Revocations = NOTHING_REVOKED,
) -> Exchanged | OAuthError:
    """Return the claims of the token, or why there is none.

    Args:
        request: as parsed.
        client: the workload that asks, as its certificate proved.
        subject: what the subject token proved.
        policy: issuance policy.
        now: the time of day.
        transaction: a fresh `txn` that nobody can guess; a replacement keeps that of its token.
        risk: of this request; None where it is not weighed (replacements, workloads' own work).
        revoked: what is revoked.
    """
    grant = policy.clients.get(client, NO_GRANT)
    refusal = (
        _refuse_target(request, policy)
        or _refuse_client(request, subject, grant, policy)
        or _refuse_scope(request, subject, policy)
        or _refuse_revoked(subject, revoked)
        or _refuse_assurance(request, subject, policy, risk, int(now.timestamp()))
    )
    if refusal is not None:
        return refusal
    issued = int(now.timestamp())
    life_s = lifetime_s(policy, request.scopes, risk)
    expires = min(issued + life_s, subject.expires)
    if expires <= issued:
        return _refused(OAuthCode.INVALID_REQUEST, "token.expired", "subject_token is about to end")
    contexts = _contexts(request, subject, policy, risk)
    if isinstance(contexts, OAuthError):
        return contexts
    details, context = contexts
    claims = Claims(
        issuer=policy.issuer,
        audience=policy.trust_domain,
        issued=issued,
        expires=expires,
        transaction=subject.replaced.claims.transaction if subject.replaced else transaction,
        subject=subject.subject,
        scopes=request.scopes,
        requester=str(client),
        acr=subject.acr,
        auth_time=subject.auth_time,
        session=subject.session,
        details=details,
        context=context,
    )
    replaced = subject.digest if subject.replaced else None
    return Exchanged(claims=claims, link=link_of(claims, replaced=replaced, risk=risk))


def lifetime_s(policy: TokenPolicy, scopes: Iterable[str], risk: Assessment | None) -> int:
    """Return how long a token lives: the shortest that its scopes allow, shorter as risk grows.

    Between no risk and the score that is refused, what is left falls in proportion, down to
    `MIN_LIFETIME_S`, which six hops still need.
    """
    given = [policy.scopes[scope].lifetime_s or policy.lifetime_s for scope in scopes]
    whole = min([policy.lifetime_s, *given])
    share = 1.0 if risk is None or policy.risk is None else 1.0 - risk.severity(policy.risk)
    return max(MIN_LIFETIME_S, round(whole * share))


def _refuse_target(request: ExchangeRequest, policy: TokenPolicy) -> OAuthError | None:
    if request.audience == policy.trust_domain:
        return None
    return _refused(
        OAuthCode.INVALID_TARGET, "exchange.audience", f"audience must be {policy.trust_domain}"
    )


def _refuse_client(
    request: ExchangeRequest, subject: Subject, grant: Grant, policy: TokenPolicy
) -> OAuthError | None:
    allowed = {
        SubjectKind.ACCESS_TOKEN: grant.exchange,
        SubjectKind.SELF_SIGNED: bool(grant.own),
        SubjectKind.TXN_TOKEN: grant.replace,
    }
    if not allowed[subject.kind] or subject.kind is not request.kind:
        return _refused(
            OAuthCode.UNAUTHORIZED_CLIENT, "exchange.client",
            "this workload may not bring this kind of subject token",
        )  # fmt: skip
    unknown = [scope for scope in request.scopes if scope not in policy.scopes]
    if unknown:
        return _refused(OAuthCode.INVALID_SCOPE, "exchange.scope", "a scope is not known")
    if not grant.scopes.issuperset(request.scopes):
        return _refused(
            OAuthCode.UNAUTHORIZED_CLIENT, "exchange.purpose",
            "this workload may not ask for these scopes",
        )  # fmt: skip
    if subject.kind is SubjectKind.SELF_SIGNED and not grant.own.issuperset(request.scopes):
        return _refused(
            OAuthCode.INVALID_SCOPE, "exchange.own", "not a scope for this workload's own work"
        )
    return None


def _refuse_scope(
    request: ExchangeRequest, subject: Subject, policy: TokenPolicy
) -> OAuthError | None:
    if subject.kind is SubjectKind.SELF_SIGNED:
        return None  # its authority is its grant
    if subject.scopes is None:
        return _refused(
            OAuthCode.INVALID_SCOPE, "exchange.unknown_authority",
            "subject_token does not say what it authorizes",
        )  # fmt: skip
    for scope in request.scopes:
        covering = {scope} if subject.replaced else {scope, *policy.scopes[scope].covered_by}
        if covering.isdisjoint(subject.scopes):
            return _refused(
                OAuthCode.INVALID_SCOPE,
                "exchange.wider",
                "wider than what subject_token authorizes",
            )
    return None


def _refuse_revoked(subject: Subject, revoked: Revocations) -> OAuthError | None:
    found = revoked.find(
        session=subject.session,
        subject=subject.subject,
        transaction=subject.replaced.claims.transaction if subject.replaced else None,
        proven_at=subject.proven_at,
        issued=subject.issued,
    )
    if found is None:
        return None
    return _refused(OAuthCode.INVALID_REQUEST, "token.revoked", f"the {found.kind} is revoked")


def _refuse_assurance(
    request: ExchangeRequest,
    subject: Subject,
    policy: TokenPolicy,
    risk: Assessment | None,
    now_s: int,
) -> OAuthError | None:
    if subject.kind is SubjectKind.SELF_SIGNED:
        return None  # nobody is there to be asked (RFC 9470 is about users)
    if risk is not None and risk.verdict is Verdict.DENY:
        return _refused(OAuthCode.ACCESS_DENIED, "exchange.risk", "the risk is too high")
    demands = [
        (policy.scopes[scope].acr, policy.scopes[scope].max_age_s) for scope in request.scopes
    ]
    if risk is not None and risk.verdict is Verdict.STEP_UP and policy.risk is not None:
        demands.append((policy.risk.acr, policy.risk.max_age_s))
    for acr, max_age_s in demands:
        fresh = max_age_s is None or (
            subject.auth_time is not None and now_s - subject.auth_time <= max_age_s
        )
        if not (policy.satisfies(subject.acr, acr) and fresh):
            return OAuthError(
                error=OAuthCode.STEP_UP,
                description="a stronger or more recent authentication is needed",
                reason="exchange.step_up",
                acr_values=(acr,) if acr else (),
                max_age_s=max_age_s,
            )
    return None


def _contexts(
    request: ExchangeRequest, subject: Subject, policy: TokenPolicy, risk: Assessment | None
) -> tuple[Mapping[str, Any], Mapping[str, Any]] | OAuthError:
    """Return `tctx` and `rctx`; what the transaction already says can be added to, not changed."""
    if subject.replaced is None:
        context = {
            name: request.context[name] for name in policy.context if name in request.context
        }
        scored = {} if risk is None else {"risk": round(risk.score, 2)}
        return dict(request.details), context | scored
    before = subject.replaced.claims
    for name, value in request.details.items():
        if name in before.details and before.details[name] != value:
            return _refused(
                OAuthCode.INVALID_REQUEST, "exchange.details", "a replacement changes no details"
            )
    return {**request.details, **before.details}, dict(before.context)


def _refused(error: OAuthCode, reason: str, description: str) -> OAuthError:
    return OAuthError(error=error, reason=reason, description=description)
