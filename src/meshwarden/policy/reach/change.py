"""One part of the difference between two policies, with an example that shows it."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from meshwarden.kernel import SpiffeId
from meshwarden.policy.model import TokenRequirement


class ChangeKind(StrEnum):
    """What is reached."""

    REQUESTS = "requests"
    CONNECTIONS = "connections"
    EGRESS = "egress"  # a host outside the mesh
    EDGE = "edge"  # from outside the mesh


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """Something that one party may newly do, or may no longer do.

    What changed is `methods` times `paths` under `token`, without what `besides` matches: those
    patterns the other policy allows as well (for some of the methods at least).

    Attributes:
        kind: what is reached.
        gained: whether the new policy allows it and the old did not; else the other way round.
        source: the caller; None for EDGE: anyone outside.
        destination: the callee; for EGRESS the service's own identity is `source`, this is None.
        rule: the rule that allows it, by name, and `where` it stands.
        where: `file:line`.
        methods: HTTP methods; None = any.
        not_methods: of any, those that the other policy allows for all of `paths` too.
        paths: path pattern as written; None = any path, or no requests.
        besides: patterns within it that the other policy allows as well, at most `MAX_BESIDES`.
        token: what the caller's token must say.
        port: of CONNECTIONS and EGRESS.
        host: of EGRESS.
        example_method: of the example; with `example_path`.
        example_path: a clean path.
        example_claims: claims of the example's token; None = without a token.
    """

    kind: ChangeKind
    gained: bool
    source: SpiffeId | None
    destination: SpiffeId | None
    rule: str = ""
    where: str = ""
    methods: tuple[str, ...] | None = None
    not_methods: tuple[str, ...] = ()
    paths: str | None = None
    besides: tuple[str, ...] = ()
    token: TokenRequirement | None = None
    port: int | None = None
    host: str | None = None
    example_method: str = ""
    example_path: str = ""
    example_claims: Mapping[str, Any] | None = None
