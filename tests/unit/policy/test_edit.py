"""Adding to a policy's text: what was written stays, and the result means what was wanted."""

import pytest

from meshwarden.adapters.yaml import parse_document
from meshwarden.policy import parse_policy
from meshwarden.policy.edit import PolicyText, apply_insertions

HEAD = "apiVersion: meshwarden.dev/v1\ntrust_domain: bank.example\nservices:\n"
GATEWAY = "  gateway: {identity: spiffe://bank.example/gateway}\n"
ENTRY = ["# why", "- {from: [gateway], methods: [PUT], paths: [/new]}"]
SERVICES = {
    "rules in a block": """  ledger: # books
    identity: spiffe://bank.example/ledger
    accepts:
      - from: [gateway]
        methods:
          - GET
        paths:
          # the one
          - /a

    # nothing else
    tier: 1
""",
    "rules in braces": """  ledger:
    accepts:
    - {from: [gateway], methods: [GET], paths: [/a]} # one
    identity: spiffe://bank.example/ledger
""",
    "no rules": "  ledger:\n    identity: spiffe://bank.example/ledger # its own\n",
    "a service in braces": "  ledger: {identity: spiffe://bank.example/ledger, data: [a, b]} # x\n",
    "a quoted name": '  "ledger":\n    identity: spiffe://bank.example/ledger\n',
}


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("service", SERVICES.values(), ids=SERVICES.keys())
@pytest.mark.parametrize("last", [True, False])
def test_a_rule_is_added_and_all_else_stays(service: str, end: str, last: bool) -> None:
    text = HEAD + (GATEWAY + service if last else service + "\n" + GATEWAY)
    text = text.replace("\n", end)
    document = parse_document(text.encode(), name="p")
    editing = PolicyText(text, document)
    changed = apply_insertions(text, editing.add_entries("ledger", {"accepts": ENTRY}))
    before, after = parse_policy(document), parse_policy(parse_document(changed.encode(), name="p"))
    old, new = before.services["ledger"], after.services["ledger"]
    assert [rule.paths for rule in new.accepts[:-1]] == [rule.paths for rule in old.accepts]
    assert new.accepts[-1].methods == frozenset({"PUT"})
    assert (new.identity, new.tier, new.data) == (old.identity, old.tier, old.data)
    comments = [line.partition("#")[2] for line in text.split(end) if "#" in line]
    assert all(f"#{comment}" in changed for comment in comments)
    assert changed.count("\n") == changed.count(end)


@pytest.mark.parametrize(
    ("rule", "field", "entry"),
    [
        ("- {from: [gateway], methods: [GET], paths: [/a]} # ]", "methods", "POST"),
        ('- {from: ["gateway"], paths: ["/a/{id}", \'/b\']}', "paths", "/c/{id}"),
        ("- from: [gateway]\n        paths:\n          - /a\n          - /b # two", "paths", "/c"),
        ("- from:\n          - gateway\n        methods: [GET]", "from", "ledger"),
        ("- from: [\n          gateway]\n        methods: [GET]", "from", None),
    ],
)
def test_one_entry_is_added_to_a_list_or_the_text_is_not_understood(
    rule: str, field: str, entry: str | None
) -> None:
    ledger = f"  ledger:\n    identity: spiffe://bank.example/ledger\n    accepts:\n      {rule}\n"
    text = HEAD + GATEWAY + ledger
    editing = PolicyText(text, parse_document(text.encode(), name="p"))
    found = editing.add_to_rule("ledger", 0, field, entry or "ledger")
    if entry is None:
        assert found is None
        return
    assert found is not None
    changed = parse_policy(parse_document(apply_insertions(text, [found]).encode(), name="p"))
    new = changed.services["ledger"].accepts[0]
    texts = {
        "methods": new.methods or set(),
        "paths": {pattern.text for pattern in new.paths or ()},
        "from": {changed.name_of(source) for source in new.sources},
    }
    assert entry in texts[field]


def test_services_are_added_at_the_end() -> None:
    text = HEAD + GATEWAY + "\n  # the last\n"
    editing = PolicyText(text, parse_document(text.encode(), name="p"))
    block = ["ledger:", "  identity: spiffe://bank.example/ledger"]
    changed = apply_insertions(text, editing.add_services([block]))
    assert list(parse_policy(parse_document(changed.encode(), name="p")).services) == [
        "gateway",
        "ledger",
    ]
    assert "# the last" in changed
