"""Reads `edge:` of `tokens.yaml`: what each edge lets in from outside."""

import re
from collections.abc import Mapping
from typing import Final

from meshwarden.kernel import Node, SpiffeId
from meshwarden.kernel.document import Fields
from meshwarden.tokens.edge import HINTS, MAX_DETAILS, EdgeAccess, EdgeRoute
from meshwarden.tokens.policy import Grant

MAX_ROUTES: Final = 500
_METHOD: Final = re.compile(r"[A-Z]{1,32}")
_HEADER: Final = re.compile(r"[a-z0-9-]{1,64}")
_MEMBER: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}")
_NEVER: Final = frozenset({"authorization", "txn-token", "cookie", "x-forwarded-for"})


def parse_edge(name: str, node: Node, edge: SpiffeId, grant: Grant | None) -> EdgeAccess:
    """Return what the edge `name` lets in; InputError at the first line that is wrong."""
    if grant is None or not grant.exchange:
        node.refuse(
            "tokens.edge_client",
            f"{edge} may not exchange access tokens",
            hint=f"list {name} under clients, with `exchange: true`",
        )
    found = node.fields(required=["routes"], optional=["open", "hints", "trusted_hops"])
    routes = found["routes"].items()
    if len(routes) > MAX_ROUTES:
        found["routes"].refuse("tokens.edge_routes", f"more than {MAX_ROUTES} routes")
    hops = found.get("trusted_hops")
    return EdgeAccess(
        routes=tuple(_route(one, grant) for one in routes),
        open=_paths(found, "open"),
        hints=HINTS if found.get("hints") is None else _listed(found["hints"], _HEADER, "header"),
        trusted_hops=0 if hops is None else hops.integer(0, 8),
    )


def _route(node: Node, grant: Grant) -> EdgeRoute:
    found = node.fields(required=["paths", "scopes"], optional=["methods", "body", "query"])
    scopes = found["scopes"]
    if not scopes.texts():
        scopes.refuse(
            "tokens.edge_scope", f"{scopes.path} is empty", hint="name a scope, or `open`"
        )
    for item in scopes.items():
        if item.text() not in grant.scopes:
            item.refuse(
                "tokens.edge_scope",
                f"this edge may not ask for {item.text()[:80]!r}",
                hint="list it under its scopes in clients",
            )
    methods = found.get("methods")
    return EdgeRoute(
        name=node.path,
        methods=None if methods is None else _listed(methods, _METHOD, "method"),
        paths=_paths(found, "paths"),
        scopes=tuple(sorted(set(scopes.texts()))),
        body=_details(found, "body"),
        query=_details(found, "query"),
        where=node.where,
    )


def _paths(found: Fields, key: str) -> tuple[str, ...]:
    node = found.get(key)
    return () if node is None else tuple(node.texts())


def _details(found: Fields, key: str) -> tuple[str, ...]:
    node = found.get(key)
    names = () if node is None else _listed(node, _MEMBER, "name")
    if node is not None and len(names) > MAX_DETAILS:
        node.refuse("tokens.edge_details", f"more than {MAX_DETAILS} names")
    return names


def _listed(node: Node, pattern: re.Pattern[str], kind: str) -> tuple[str, ...]:
    for item in node.items():
        if not pattern.fullmatch(item.text()) or item.text() in _NEVER:
            item.refuse("tokens.edge_name", f"{item.text()[:40]!r} is no {kind} that is taken here")
    return tuple(node.texts())


def parse_edges(
    nodes: Mapping[str, Node],
    clients: Mapping[SpiffeId, Grant],
    services: Mapping[str, SpiffeId],
) -> dict[SpiffeId, EdgeAccess]:
    """Return what each edge lets in, by identity; InputError."""
    found = {}
    for name, node in nodes.items():
        if name not in services:
            node.refuse("tokens.unknown_edge", f"no service is called {name[:80]!r}")
        identity = services[name]
        found[identity] = parse_edge(name, node, identity, clients.get(identity))
    return found
