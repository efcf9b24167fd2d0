"""What PostgreSQL keeps of a password under SCRAM-SHA-256 (RFC 5802, RFC 7677): a verifier.

Given the verifier instead of the password, the server learns neither, and its log of statements
cannot hold the password. The form is that of pg_authid.rolpassword.
"""

import base64
import hashlib
import hmac
from typing import Final

ITERATIONS: Final = 4096
"""RFC 7677, section 4: at least. Passwords here have 256 bits, which no count makes stronger."""


def render_verifier(password: str, *, salt: bytes, iterations: int = ITERATIONS) -> str:
    """Return the verifier of an ASCII `password`; ValueError for another one (SASLprep).

    >>> render_verifier("pencil", salt=base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ=="))[:49]
    'SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8'
    """
    if not password.isascii() or not password.isprintable():
        raise ValueError("only printable ASCII is the same before and after SASLprep")
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, iterations)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    encoded = [base64.b64encode(one).decode() for one in (salt, stored, server)]
    return f"SCRAM-SHA-256${iterations}:{encoded[0]}${encoded[1]}:{encoded[2]}"
