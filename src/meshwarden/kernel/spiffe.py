"""SPIFFE IDs: the one form in which a workload is named.

Source: the SPIFFE-ID standard, sections 2.1 to 2.3. A SpiffeId cannot be built invalid; what
another source calls a principal (Istio without the scheme, Linkerd as a DNS name) is translated at
that source's adapter, not here.
"""

import re
from dataclasses import dataclass

from meshwarden.kernel.errors import InputError

MAX_SPIFFE_ID_BYTES = (
    2048  # section 2.3: must be supported; more is refused so that every consumer can be bounded
)
_TRUST_DOMAIN = re.compile(r"[a-z0-9._-]{1,255}")
_SEGMENT = re.compile(r"[A-Za-z0-9._-]+")
_SCHEME = "spiffe://"


def parse_trust_domain(text: str, *, where: str = "trust domain") -> str:
    """Return `text` where it is a trust domain name; InputError `spiffe.trust_domain` where not."""
    if not _TRUST_DOMAIN.fullmatch(text):
        raise InputError(
            "spiffe.trust_domain",
            f"{text[:80]!r} is not a trust domain",
            where=where,
            hint="1 to 255 of a-z 0-9 . - _ (lower case, no scheme, no port)",
        )
    return text


@dataclass(frozen=True, slots=True, order=True)
class SpiffeId:
    """A workload's identity: `spiffe://<trust_domain><path>`, never without a path.

    >>> SpiffeId.parse("spiffe://bank.example/ns/core/sa/ledger").path
    '/ns/core/sa/ledger'
    """

    trust_domain: str
    path: str

    def __post_init__(self) -> None:
        parse_trust_domain(self.trust_domain, where="SPIFFE ID")
        if len(str(self)) > MAX_SPIFFE_ID_BYTES:
            raise _refused(str(self), f"longer than {MAX_SPIFFE_ID_BYTES} bytes")
        if not self.path.startswith("/"):
            raise _refused(str(self), "a workload's identity needs a path")
        for segment in self.path[1:].split("/"):
            if segment in {"", ".", ".."}:
                raise _refused(str(self), "an empty, '.' or '..' segment, or a trailing slash")
            if not _SEGMENT.fullmatch(segment):
                raise _refused(
                    str(self), f"segment {segment[:40]!r} has a character outside A-Z a-z 0-9 . - _"
                )

    @classmethod
    def parse(cls, text: str) -> "SpiffeId":
        """Return the identity that `text` spells; InputError `spiffe.id` where it spells none."""
        if text[: len(_SCHEME)].lower() != _SCHEME:
            raise _refused(text, "does not start with spiffe://")
        trust_domain, slash, path = text[len(_SCHEME) :].partition("/")
        return cls(trust_domain=trust_domain, path=slash + path)

    def __str__(self) -> str:
        return f"{_SCHEME}{self.trust_domain}{self.path}"


def _refused(text: str, why: str) -> InputError:
    return InputError(
        "spiffe.id",
        f"{text[:80]!r} is not a SPIFFE ID: {why}",
        where="SPIFFE ID",
        hint="for example spiffe://bank.example/ns/core/sa/ledger",
    )
