"""Who is calling: SPIFFE identities, their certificates and the authority that signs them.

- `model`: trust bundle, root, authority, SVID; `secret`: what prints as stars.
- `authority`: make a root and an intermediate, or verify what the user brings.
- `issue`: X.509-SVIDs. `renewal`: when to replace them. `verify`: whether one proves its identity.
- `crl`: revocation lists. `register`: what was issued, revoked. `trust`: authorities in rotation.
- `registration`: which processes may have which identity, by facts that the kernel attests.
- `jwt_svid`, `jwt_authority`: JWT-SVIDs and the keys that sign them. `bundle`: bundle documents.
- `constraints`, `path`: name constraints and certification paths of RFC 5280. `pem`: in and out.

Pure: time, serial numbers and the uniform numbers of renewal are handed in; only keys are drawn
here.
"""

from meshwarden.identity.authority import create_authority, create_root, verify_authority
from meshwarden.identity.bundle import (
    Bundle,
    build_bundle,
    parse_bundle,
    render_bundle,
    render_jwt_keys,
)
from meshwarden.identity.crl import issue_crl, render_crl, signs_crls
from meshwarden.identity.issue import LIFETIME_S, MAX_LIFETIME_S, issue_svid
from meshwarden.identity.jwt_authority import JwtKey, create_key, rotate_keys, signing_key
from meshwarden.identity.jwt_svid import (
    VerifiedJwtSvid,
    is_ended,
    issue_jwt_svid,
    require_audience,
    verify_jwt_svid,
)
from meshwarden.identity.model import Authority, Root, Svid, TrustBundle
from meshwarden.identity.pem import parse_certificates, parse_private_key, render_private_key
from meshwarden.identity.register import Kind, Record, Register
from meshwarden.identity.registration import (
    ProcessFacts,
    Registration,
    Selectors,
    Session,
    is_interpreter,
    match_registrations,
)
from meshwarden.identity.renewal import renewal_time
from meshwarden.identity.secret import Secret
from meshwarden.identity.trust import Retired, Trust, issuer_name
from meshwarden.identity.verify import verify_svid

__all__ = [
    "LIFETIME_S",
    "MAX_LIFETIME_S",
    "Authority",
    "Bundle",
    "JwtKey",
    "Kind",
    "ProcessFacts",
    "Record",
    "Register",
    "Registration",
    "Retired",
    "Root",
    "Secret",
    "Selectors",
    "Session",
    "Svid",
    "Trust",
    "TrustBundle",
    "VerifiedJwtSvid",
    "build_bundle",
    "create_authority",
    "create_key",
    "create_root",
    "is_ended",
    "is_interpreter",
    "issue_crl",
    "issue_jwt_svid",
    "issue_svid",
    "issuer_name",
    "match_registrations",
    "parse_bundle",
    "parse_certificates",
    "parse_private_key",
    "render_bundle",
    "render_crl",
    "render_jwt_keys",
    "render_private_key",
    "renewal_time",
    "require_audience",
    "rotate_keys",
    "signing_key",
    "signs_crls",
    "verify_authority",
    "verify_jwt_svid",
    "verify_svid",
]
