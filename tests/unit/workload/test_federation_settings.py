from pathlib import Path

import pytest

from meshwarden.adapters.yaml import parse_document
from meshwarden.control.mesh import parse_mesh
from meshwarden.kernel import InputError

BASE = """
apiVersion: meshwarden.dev/v1
policy: access.yaml
services: {a: {command: [a]}}
"""
GOOD = """
federation:
  - {trust_domain: p.example, url: "https://p.example/b", profile: https_web}
  - trust_domain: q.example
    url: https://10.0.0.1:8443/
    profile: https_spiffe
    endpoint_identity: spiffe://q.example/endpoint
    bundle: q.json
bundle_endpoint: {listen: "127.0.0.1:8443", identity: spiffe://bank.example/bundle}
"""


def test_both_profiles_are_read() -> None:
    mesh = parse_mesh(parse_document((BASE + GOOD).encode(), name="m"), Path("/m"))
    web, spiffe = mesh.federation
    assert (web.trust_domain, web.bundle) == ("p.example", None)
    assert (str(spiffe.endpoint_identity), spiffe.bundle) == (
        "spiffe://q.example/endpoint",
        Path("/m/q.json"),
    )
    assert mesh.bundle_endpoint is not None
    assert mesh.bundle_endpoint.port == 8443


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("p.example/b", "p.example/b#x"),
        ("https://p.example/b", "http://p.example/b"),
        ("https://p.example/b", "https://user:secret@p.example/b"),
        ("https://p.example/b", "https:///b"),
        ("trust_domain: p.example", "trust_domain: q.example"),
        ("trust_domain: p.example", "trust_domain: P.example"),
        ("profile: https_web", "profile: web"),
        ("profile: https_web", "profile: https_web, endpoint_identity: spiffe://p.example/x"),
        ("    bundle: q.json\n", ""),
        ("    endpoint_identity: spiffe://q.example/endpoint\n", ""),
        ("spiffe://q.example/endpoint", "spiffe://other.example/endpoint"),
        (", identity: spiffe://bank.example/bundle", ""),
        (", identity: spiffe://bank.example/bundle", ", certificates: a.pem"),
        ('"127.0.0.1:8443"', "8443"),
    ],
)
def test_what_contradicts_itself_is_refused(old: str, new: str) -> None:
    assert old in GOOD
    document = parse_document((BASE + GOOD.replace(old, new, 1)).encode(), name="m")
    with pytest.raises(InputError):
        parse_mesh(document, Path("/m"))
