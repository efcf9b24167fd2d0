"""Who is calling: SPIFFE identities, their certificates and the authority that signs them.

- `model`: trust bundle, root, authority, SVID; `secret`: what prints as stars.
- `authority`: make a root and an intermediate, or verify what the user brings.
- `issue`: X.509-SVIDs. `renewal`: when to replace them. `verify`: whether one proves its identity.
- `crl`: revocation lists. `register`: what was issued, revoked. `trust`: authorities in rotation.
- `constraints`, `path`: name constraints and certification paths of RFC 5280. `pem`: in and out.

Pure: time, serial numbers and the uniform numbers of renewal are handed in; only keys are drawn
here. Places are left for attestation (who may have which identity, before `issue`) and the Workload
API (an adapter that hands SVIDs out).
"""

from meshwarden.identity.authority import create_authority, create_root, verify_authority
from meshwarden.identity.crl import issue_crl, render_crl, signs_crls
from meshwarden.identity.issue import LIFETIME_S, MAX_LIFETIME_S, issue_svid
from meshwarden.identity.model import Authority, Root, Svid, TrustBundle
from meshwarden.identity.pem import parse_certificates, parse_private_key, render_private_key
from meshwarden.identity.register import Kind, Record, Register
from meshwarden.identity.renewal import renewal_time
from meshwarden.identity.secret import Secret
from meshwarden.identity.trust import Retired, Trust, issuer_name
from meshwarden.identity.verify import verify_svid

__all__ = [
    "LIFETIME_S",
    "MAX_LIFETIME_S",
    "Authority",
    "Kind",
    "Record",
    "Register",
    "Retired",
    "Root",
    "Secret",
    "Svid",
    "Trust",
    "TrustBundle",
    "create_authority",
    "create_root",
    "issue_crl",
    "issue_svid",
    "issuer_name",
    "parse_certificates",
    "parse_private_key",
    "render_crl",
    "render_private_key",
    "renewal_time",
    "signs_crls",
    "verify_authority",
    "verify_svid",
]
