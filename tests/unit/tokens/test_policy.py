"""tokens.yaml: what is wrong is said with file, line and what to do."""

from pathlib import Path

import pytest
from tests.unit.tokens.world import POLICY, token_policy

from meshwarden.adapters.yaml import parse_document
from meshwarden.control.mesh import check_against, parse_mesh
from meshwarden.kernel import InputError
from meshwarden.kernel.errors import ConfigError
from meshwarden.policy import parse_policy

MESH = """\
apiVersion: meshwarden.dev/v1
policy: access.yaml
services:
  front: {command: [front], socket: true}
tokens: {policy: tokens.yaml}
"""
ACCESS = """\
apiVersion: meshwarden.dev/v1
trust_domain: test.example
services:
  front: {identity: "spiffe://test.example/front"}
"""


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ("meshwarden.dev/v1", "meshwarden.dev/v9", "tokens.version"),
        ("issuer: https://tokens.bank.example", "issuer: http://tokens.bank.example", "tokens.url"),
        (
            "issuer: https://tokens.bank.example",
            "issuer: https://u@tokens.bank.example",
            "tokens.url",
        ),
        ("gateway: {", "gatewy: {", "tokens.unknown_client"),
        ("[transfer:write], replace", "[transfer:wrte], replace", "tokens.unknown_scope"),
        ("own: [report:run]", "own: [transfer:write]", "tokens.own"),
        (", replace: true", "", "tokens.no_way"),
        ("lifetime_s: 20", "lifetime_s: 2", "document.type"),
        ("accounts:read: {}", '"a b": {}', "tokens.scope"),
        ("deny: 10", "deny: 1", "tokens.risk"),
        ("report:run: {}", "report:run: {acrs: mfa}", "document.unknown_key"),
        (
            'audience: "https://api.bank.example"',
            "audience: x, algorithms: [HS256]",
            "tokens.algorithm",
        ),
    ],
)
def test_a_mistake_is_refused_with_its_line(old: str, new: str, code: str) -> None:
    assert old in POLICY
    with pytest.raises(InputError) as caught:
        token_policy(POLICY.replace(old, new))
    assert caught.value.code == code
    assert caught.value.where.startswith("tokens.yaml:")


def test_two_issuers_need_different_prefixes() -> None:
    more = '  - {issuer: "https://other.example", audience: x%s}\nscopes:'
    with pytest.raises(InputError, match="mixed up"):
        token_policy(POLICY.replace("scopes:", more % "", 1))
    found = token_policy(POLICY.replace("scopes:", more % ', prefix: "other:"', 1))
    assert found.issuers["https://other.example"].prefix == "other:"


def test_an_assurance_satisfies_weaker_ones_and_unknown_ones_only_themselves() -> None:
    policy = token_policy()
    assert policy.satisfies("mfa", "pwd")
    assert not policy.satisfies("pwd", "mfa")
    assert not policy.satisfies(None, "pwd")
    assert not policy.satisfies("phr", "pwd")
    assert policy.satisfies("phr", "phr")


def test_the_token_service_is_a_service_of_the_mesh_that_the_access_policy_must_know(
    tmp_path: Path,
) -> None:
    mesh = parse_mesh(parse_document(MESH.encode(), name="mesh.yaml"), tmp_path)
    assert mesh.services["token-service"].builtin
    with pytest.raises(ConfigError) as caught:
        check_against(mesh, parse_policy(parse_document(ACCESS.encode(), name="access.yaml")))
    assert caught.value.code == "mesh.not_in_policy"
    named = MESH.replace("tokens.yaml}", "tokens.yaml, service: front}")
    with pytest.raises(InputError) as refused:
        parse_mesh(parse_document(named.encode(), name="mesh.yaml"), tmp_path)
    assert refused.value.code == "mesh.tokens"
