"""Name constraints: what keeps an authority of one trust domain from naming workloads of another.

RFC 5280, section 4.2.1.10. A constraint on URIs is compared with the host, which in a SPIFFE ID is
the trust domain; without a leading dot it means that one host and none below it. Our own CAs permit
the trust domain and shut out the other kinds of name that peers look at:

- DNS names and IP addresses by exclusion of everything (the empty suffix; /0 networks);
- mailboxes by permitting only those at the host `invalid` (RFC 2606), because verifiers disagree
  on what an empty mailbox constraint means.

Constraints on directory names are not judged here: a certificate that has a subject, under an
issuer that constrains subjects, is refused.
"""

import ipaddress
from collections.abc import Callable, Iterable
from typing import Final
from urllib.parse import urlsplit

from cryptography import x509

from meshwarden.kernel import ConfigError, VerificationError

NOWHERE: Final = "invalid"


def build_name_constraints(trust_domain: str) -> x509.NameConstraints:
    """Return the constraints of a CA for `trust_domain`.

    Raises:
        ConfigError: `identity.trust_domain` where no URI constraint can mean just this domain: one
            that is an IP address (the section leaves those undefined) or starts with a dot (it
            would mean every domain below).
    """
    if trust_domain.startswith(".") or _is_address(trust_domain):
        raise ConfigError(
            "identity.trust_domain",
            f"no certificate authority can be limited to the trust domain {trust_domain!r}",
            hint="use a name such as bank.example, not an IP address or a leading dot",
        )
    return x509.NameConstraints(
        permitted_subtrees=[
            x509.UniformResourceIdentifier(trust_domain),
            x509.RFC822Name(NOWHERE),
        ],
        excluded_subtrees=[
            x509.DNSName(""),
            x509.IPAddress(ipaddress.ip_network("0.0.0.0/0")),
            x509.IPAddress(ipaddress.ip_network("::/0")),
        ],
    )


def verify_names(certificate: x509.Certificate, constraints: x509.NameConstraints) -> None:
    """Raise VerificationError `identity.name_constraints` where a name is not permitted."""
    for name in _names_of(certificate):
        if not permits_name(constraints, name):
            raise VerificationError(
                "identity.name_constraints",
                f"the issuer may not name {str(name.value)[:80]!r}: its name constraints forbid it",
                hint="let the authority of that trust domain issue the certificate",
            )


def permits_name(constraints: x509.NameConstraints, name: x509.GeneralName) -> bool:
    """Return whether `name` is within the constraints; where that cannot be judged, it is not."""
    kind = type(name)
    excluded = [one for one in constraints.excluded_subtrees or () if type(one) is kind]
    permitted = [one for one in constraints.permitted_subtrees or () if type(one) is kind]
    if not excluded and not permitted:
        return True
    matches = _MATCHERS.get(kind)
    if matches is None:
        return False
    # A name that is malformed for its kind matches no constraint, and so none that excludes it.
    if any(matches(name.value, one.value) is not False for one in excluded):
        return False
    return not permitted or any(matches(name.value, one.value) is True for one in permitted)


def _names_of(certificate: x509.Certificate) -> Iterable[x509.GeneralName]:
    if certificate.subject.rdns:
        yield x509.DirectoryName(certificate.subject)
    try:
        yield from certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return


def _uri_matches(uri: str, constraint: str) -> bool | None:
    try:
        host = urlsplit(uri).hostname
    except ValueError:
        return None
    return None if host is None else _host_matches(host, constraint)


def _mailbox_matches(mailbox: str, constraint: str) -> bool | None:
    local, at, host = mailbox.rpartition("@")
    if not at or not local:
        return None
    if "@" in constraint:
        return mailbox == constraint
    return _host_matches(host, constraint)


def _host_matches(host: str, constraint: str) -> bool:
    host, constraint = host.lower(), constraint.lower()
    return host.endswith(constraint) if constraint.startswith(".") else host == constraint


def _dns_matches(name: str, constraint: str) -> bool:
    name, constraint = name.lower(), constraint.lower().removeprefix(".")
    return not constraint or name == constraint or name.endswith(f".{constraint}")


def _address_matches(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
    network: ipaddress.IPv4Network | ipaddress.IPv6Network,
) -> bool:
    return address in network


_MATCHERS: Final[dict[type[x509.GeneralName], Callable[..., bool | None]]] = {
    x509.UniformResourceIdentifier: _uri_matches,
    x509.RFC822Name: _mailbox_matches,
    x509.DNSName: _dns_matches,
    x509.IPAddress: _address_matches,
}


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
