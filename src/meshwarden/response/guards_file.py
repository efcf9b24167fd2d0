"""Guard rails as people write them; `guards` says what they do.

```yaml
apiVersion: meshwarden.dev/v1
guard_rails:
  max_contained: 2            # instances at once, in the whole mesh
  max_share: 0.5              # of one service's instances at once; one is always possible
  last_instance_tiers: [0]    # their last healthy instance only with approval
  last_edge_instance: true    # the last one of a service that takes outside traffic likewise
  max_actions_per_hour: 20    # automatic ones; then only observing
  protected: [spiffe://bank.example/ns/core/sa/idp]   # only with approval
  two_people: [replace]       # actions that two different people approve
```
"""

from meshwarden.kernel import InputError, Node, SpiffeId
from meshwarden.response.catalogue import CATALOGUE
from meshwarden.response.guards import GuardRails


def parse_guard_rails(document: Node) -> GuardRails:
    """Return the guard rails of `document`.

    Raises:
        InputError: `guards.*` or `document.*`, naming file and line.
    """
    top = document.fields(required=["apiVersion", "guard_rails"])
    if top["apiVersion"].text() != "meshwarden.dev/v1":
        top["apiVersion"].refuse("guards.version", "apiVersion must be meshwarden.dev/v1")
    names = [
        "max_contained", "max_share", "last_instance_tiers", "last_edge_instance",
        "max_actions_per_hour", "protected", "two_people",
    ]  # fmt: skip
    fields = top["guard_rails"].fields(optional=names)
    found: dict[str, object] = {}
    for name, high in (("max_contained", 1000), ("max_actions_per_hour", 10_000)):
        if node := fields.get(name):
            found[name] = node.integer(0, high)
    if node := fields.get("max_share"):
        found["max_share"] = node.number(0, 1)
    if node := fields.get("last_instance_tiers"):
        found["last_instance_tiers"] = frozenset(one.integer(0, 9) for one in node.items())
    if node := fields.get("last_edge_instance"):
        found["last_edge_instance"] = node.boolean()
    if node := fields.get("protected"):
        found["protected"] = frozenset(str(_identity(one)) for one in node.items())
    if node := fields.get("two_people"):
        found["two_people"] = frozenset(_action(one) for one in node.items())
    return GuardRails(**found)  # type: ignore[arg-type]  # checked one by one above


def _identity(node: Node) -> SpiffeId:
    try:
        return SpiffeId.parse(node.text())
    except InputError as error:
        node.refuse("guards.identity", error.message, hint=error.hint)


def _action(node: Node) -> str:
    if node.text() not in CATALOGUE:
        node.refuse(
            "guards.unknown_action",
            f"no action is called {node.text()!r}",
            hint=f"known: {', '.join(CATALOGUE)}",
        )
    return node.text()
