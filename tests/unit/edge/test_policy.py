"""`edge:` of tokens.yaml: what it says, and how mistakes are told."""

import pytest
from tests.unit.tokens.world import GATEWAY, POLICY, token_policy

from meshwarden.kernel import InputError

EDGE = """\
edge:
  gateway:
    open: ["/idp/**"]
    hints: [x-installation]
    trusted_hops: 1
    routes:
      - {methods: [POST], paths: [/v1/transfers], scopes: [transfer:write, ledger:post], body: [amount]}
      - {paths: ["/v1/**"], scopes: [accounts:read], query: [payee]}
"""


def test_an_edge_is_read() -> None:
    found = token_policy(POLICY + EDGE).edges[GATEWAY]
    assert (found.open, found.hints, found.trusted_hops) == (("/idp/**",), ("x-installation",), 1)
    first, second = found.routes
    assert (first.methods, first.scopes, first.body) == (
        ("POST",), ("ledger:post", "transfer:write"), ("amount",),
    )  # fmt: skip
    assert (second.methods, second.query) == (None, ("payee",))
    assert first.where.startswith("tokens.yaml:")


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ("  gateway:\n    open", "  gatewy:\n    open", "tokens.unknown_edge"),
        ("  gateway:\n    open", "  payments:\n    open", "tokens.edge_client"),
        ("[accounts:read]", "[]", "tokens.edge_scope"),
        ("scopes: [accounts:read], query", "scopes: [report:run], query", "tokens.edge_scope"),
        ("[POST]", "[post]", "tokens.edge_name"),
        ("[x-installation]", "[Cookie]", "tokens.edge_name"),
        ("[x-installation]", "[cookie]", "tokens.edge_name"),
        ("[x-installation]", "[authorization]", "tokens.edge_name"),
        ("[payee]", "['pay ee']", "tokens.edge_name"),
        ("[amount]", "[a, b, c, d, e, f, g, h, i]", "tokens.edge_details"),
        ("trusted_hops: 1", "trusted_hops: 9", "document.type"),
        ("open:", "opened:", "document.unknown_key"),
    ],
)
def test_a_mistake_is_refused_with_its_line(old: str, new: str, code: str) -> None:
    assert old in EDGE
    with pytest.raises(InputError) as caught:
        token_policy(POLICY + EDGE.replace(old, new))
    assert caught.value.code == code
    assert caught.value.where.startswith("tokens.yaml:")
