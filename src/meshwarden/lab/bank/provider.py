"""The identity provider's rules: authorization code with PKCE, second factor, tokens; no HTTP.

Sources: RFC 6749 section 4.1, RFC 7636 (S256 only), RFC 9068 (access token), OpenID Connect Core
sections 2 and 3.1, RFC 9470 (`acr_values`), RFC 9207 (`iss` in the answer). Codes are kept as
hashes, live a minute, and are spent by the first try, right or wrong. What is remembered is bounded
and dies with the process; so does the signing key.
"""

import base64
import hashlib
import hmac
import secrets
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from joserfc import jwt
from joserfc.jwk import ECKey, KeySet

from meshwarden.lab.bank.access_token import ALGORITHM, AUDIENCE, verify_access_token
from meshwarden.lab.bank.directory import HOME, Customer, Directory, installation
from meshwarden.lab.bank.totp import accepted_step

CLIENT_ID: Final = "bank-app"
REDIRECT_URI: Final = "https://app.bank.example/callback"
SCOPES: Final = ("openid", "accounts:read", "transfer:write", "card:write", "credit:apply")
MFA: Final = "mfa"
SINGLE_FACTOR: Final = "pwd"
CODE_LIFE_S: Final = 60
TOKEN_LIFE_S: Final = 900
_KEPT: Final = 50_000
_CHALLENGE_CHARACTERS: Final = 43  # base64url of SHA-256
Key = TypeVar("Key")
Value = TypeVar("Value")


class GrantError(Exception):
    """A request that the protocol refuses: `error` as RFC 6749 sections 4.1.2.1 and 5.2 name it."""

    def __init__(self, error: str, description: str) -> None:
        super().__init__(description)
        self.error = error
        self.description = description


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorizationRequest:
    """What an application asked for, proven to be its own to ask."""

    scope: str
    state: str
    nonce: str
    challenge: str
    acr: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """A customer who proved who they are; `elsewhere`: not on the device that was enrolled."""

    customer: Customer
    code: str
    elsewhere: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Grant:
    request: AuthorizationRequest
    customer: Customer
    acr: str
    auth_time: int
    session: str


class Provider:
    """One issuer, its key, and what it remembers."""

    def __init__(self, issuer: str, directory: Directory) -> None:
        self.issuer = issuer
        self._directory = directory
        self._key = ECKey.generate_key("P-256", {"use": "sig", "alg": ALGORITHM}, auto_kid=True)
        self._grants: OrderedDict[bytes, _Grant] = OrderedDict()
        self._spent_steps: OrderedDict[int, int] = OrderedDict()

    def jwks(self) -> dict[str, Any]:
        """Return the public keys (RFC 7517)."""
        return {"keys": [self._key.as_dict(private=False)]}

    def userinfo(self, unverified: str, *, at_s: float) -> dict[str, str]:
        """Return the claims about the customer whose access token this is; TokenError."""
        token = verify_access_token(
            unverified, keys=KeySet([self._key]), issuer=self.issuer, at_s=at_s
        )
        customer = self._directory.by_user_name(token.user_name)
        return {"sub": token.subject, "name": customer.name if customer else ""}

    def login(
        self, request: AuthorizationRequest, *, user_name: str, password: str, otp: str,
        device: str, at_s: float,
    ) -> Login | None:  # fmt: skip
        """Return the login with its code; None where any proof is wrong, without saying which."""
        customer = self._directory.by_user_name(user_name)
        expected = customer.password if customer else "-"
        right = hmac.compare_digest(expected.encode(), password.encode())
        if customer is None or not right:
            return None
        acr = SINGLE_FACTOR
        if otp or request.acr == MFA:
            spent = self._spent_steps.get(customer.number, 0)
            step = accepted_step(customer.otp_key, otp, at_s=at_s, after=spent)
            if step is None:
                return None
            _remember(self._spent_steps, customer.number, step)
            acr = MFA
        code = secrets.token_urlsafe(32)
        grant = _Grant(
            request=request, customer=customer, acr=acr, auth_time=int(at_s),
            session=secrets.token_urlsafe(16),
        )  # fmt: skip
        _remember(self._grants, _hash(code), grant)
        elsewhere = not device.endswith(installation(customer.number, HOME))
        return Login(customer=customer, code=code, elsewhere=elsewhere)

    def redeem(self, *, code: str, verifier: str, at_s: float) -> dict[str, Any]:
        """Return the token response; GrantError `invalid_grant` for a code that is not good."""
        grant = self._grants.pop(_hash(code), None)
        if grant is None or at_s > grant.auth_time + CODE_LIFE_S:
            raise GrantError("invalid_grant", "the code is unknown, spent or expired")
        challenge = _base64url(hashlib.sha256(verifier.encode()).digest())
        if not hmac.compare_digest(challenge.encode(), grant.request.challenge.encode()):
            raise GrantError("invalid_grant", "the verifier is not that of the code")
        shared = {
            "iss": self.issuer, "sub": grant.customer.id, "auth_time": grant.auth_time,
            "acr": grant.acr, "amr": ["pwd", "otp"] if grant.acr == MFA else ["pwd"],
            "sid": grant.session, "iat": int(at_s), "exp": int(at_s) + TOKEN_LIFE_S,
        }  # fmt: skip
        access = shared | {
            "aud": AUDIENCE, "client_id": CLIENT_ID, "scope": grant.request.scope,
            "jti": secrets.token_urlsafe(16), "username": grant.customer.user_name,
        }  # fmt: skip
        identity = shared | {"aud": CLIENT_ID, "nonce": grant.request.nonce}
        return {
            "token_type": "Bearer",
            "access_token": self._sign("at+jwt", access),
            "id_token": self._sign("JWT", identity),
            "expires_in": TOKEN_LIFE_S,
            "scope": grant.request.scope,
        }

    def _sign(self, kind: str, claims: dict[str, Any]) -> str:
        header = {"alg": ALGORITHM, "typ": kind, "kid": self._key.kid}
        return jwt.encode(header, claims, self._key, algorithms=[ALGORITHM])


def parse_client(unverified: dict[str, str]) -> None:
    """Raise GrantError for an unknown application or address: nothing is sent to such a one."""
    if unverified.get("client_id") != CLIENT_ID:
        raise GrantError("invalid_request", "unknown client_id")
    if unverified.get("redirect_uri") != REDIRECT_URI:
        raise GrantError("invalid_request", "redirect_uri is not registered")


def parse_token_request(unverified: dict[str, str]) -> None:
    """Raise GrantError for anything but a known application that redeems a code."""
    if unverified.get("grant_type") != "authorization_code":
        raise GrantError("unsupported_grant_type", "grant_type must be authorization_code")
    parse_client(unverified)


def parse_authorization(unverified: dict[str, str]) -> AuthorizationRequest:
    """Return the request of a known client; GrantError where the protocol refuses it."""
    if unverified.get("response_type") != "code":
        raise GrantError("unsupported_response_type", "response_type must be code")
    challenge = unverified.get("code_challenge", "")
    if unverified.get("code_challenge_method") != "S256" or len(challenge) != _CHALLENGE_CHARACTERS:
        raise GrantError("invalid_request", "PKCE with S256 is required")
    scope = unverified.get("scope", "")
    asked = scope.split(" ")
    if "openid" not in asked or not set(asked) <= set(SCOPES):
        raise GrantError("invalid_scope", f"scope must hold openid and of {' '.join(SCOPES)}")
    levels = unverified.get("acr_values", "").split()
    return AuthorizationRequest(
        scope=scope,
        state=unverified.get("state", "")[:200],
        nonce=unverified.get("nonce", "")[:200],
        challenge=challenge,
        acr=MFA if MFA in levels else None,
    )


def metadata(issuer: str) -> dict[str, Any]:
    """Return the discovery document (OpenID Connect Discovery, section 3)."""
    return {
        "issuer": issuer,
        "authorization_endpoint": f"{issuer}/authorize",
        "token_endpoint": f"{issuer}/token",
        "userinfo_endpoint": f"{issuer}/userinfo",
        "jwks_uri": f"{issuer}/jwks",
        "response_types_supported": ["code"],
        "grant_types_supported": ["authorization_code"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": [ALGORITHM],
        "scopes_supported": list(SCOPES),
        "acr_values_supported": [MFA, SINGLE_FACTOR],
        "claims_supported": ["sub", "name", "auth_time", "acr", "amr", "sid"],
        "code_challenge_methods_supported": ["S256"],
        "token_endpoint_auth_methods_supported": ["none"],
        "authorization_response_iss_parameter_supported": True,
    }


def _remember(store: OrderedDict[Key, Value], key: Key, value: Value) -> None:
    """Keep `value` under `key`, and forget the oldest rather than grow without end."""
    store[key] = value
    store.move_to_end(key)
    if len(store) > _KEPT:
        store.popitem(last=False)


def _hash(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def _base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
