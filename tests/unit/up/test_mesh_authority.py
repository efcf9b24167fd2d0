"""`authority:` in the mesh file."""

from pathlib import Path

import pytest

from meshwarden.adapters.yaml import parse_document
from meshwarden.control.mesh import Mesh, parse_mesh
from meshwarden.kernel import InputError

HEAD = "apiVersion: meshwarden.dev/v1\npolicy: p.yaml\nservices: {a: {command: [x]}}\n"


def parsed(text: str) -> Mesh:
    return parse_mesh(parse_document((HEAD + text).encode(), name="m.yaml"), Path("/m"))


def test_without_it_svids_live_an_hour_and_the_authority_is_our_own() -> None:
    authority = parsed("").authority
    assert (authority.svid_lifetime_s, authority.certificates, authority.key) == (3600, None, None)


def test_files_are_relative_to_the_mesh_file() -> None:
    authority = parsed(
        "authority: {certificates: ca.pem, key: ca.key, svid_lifetime_s: 60}"
    ).authority
    assert authority.certificates == Path("/m/ca.pem")
    assert authority.key == Path("/m/ca.key")
    assert authority.svid_lifetime_s == 60


@pytest.mark.parametrize(
    "text",
    [
        "authority: {certificates: ca.pem}",
        "authority: {key: ca.key}",
        "authority: {svid_lifetime_s: 1}",
        "authority: {svid_lifetime_s: 100000}",
        "authority: {lifetime: 60}",
    ],
)
def test_half_of_a_pair_unknown_keys_and_impossible_lives_are_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"m\.yaml:4"):
        parsed(text)
