"""Name constraints: nothing outside the trust domain is ever permitted."""

from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from meshwarden.identity.constraints import build_name_constraints, permits_name

LABEL = st.text("abcxyz019-_", min_size=1, max_size=10)
DOMAIN = st.lists(LABEL, min_size=2, max_size=4).map(".".join).filter(lambda d: not d[-1].isdigit())


@given(ours=DOMAIN, theirs=DOMAIN)
def test_a_domain_permits_itself_alone(ours: str, theirs: str) -> None:
    constraints = build_name_constraints(ours)
    name = x509.UniformResourceIdentifier(f"spiffe://{theirs}/x")
    assert permits_name(constraints, name) == (ours == theirs)


@given(ours=DOMAIN, label=LABEL)
def test_neither_what_is_below_nor_what_merely_ends_alike(ours: str, label: str) -> None:
    constraints = build_name_constraints(ours)
    for host in (f"{label}.{ours}", f"{label}{ours}", f"{ours}.{label}"):
        assert not permits_name(constraints, x509.UniformResourceIdentifier(f"spiffe://{host}/x"))


@given(ours=DOMAIN, text=st.text(st.characters(codec="ascii"), max_size=30))
def test_odd_uris_are_permitted_only_with_the_domain_as_host(ours: str, text: str) -> None:
    name = x509.UniformResourceIdentifier(text)
    if permits_name(build_name_constraints(ours), name):
        assert ours in text.lower()
