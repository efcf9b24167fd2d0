"""What Linkerd's objects mean: written from its documentation and its proxy's source.

Sources: linkerd.io, Authorization Policy reference; linkerd2-proxy, linkerd/http/route (which match
is the best) and linkerd/app/inbound/src/policy. A Server refuses what no AuthorizationPolicy
allows; of its HTTPRoutes the one with the best match decides: length of what the path matched, then
whether it names the method, then the order, which no one controls: `allows` takes it as given.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tests.evaluators.istio import Arriving

Rank = tuple[int, bool]


def identity_of(asked: Arriving) -> str | None:
    """Return the name in the caller's certificate, if Linkerd could have issued it."""
    found = re.fullmatch(r"/ns/([^/]+)/sa/([^/]+)", asked.source.path)
    domain = asked.source.trust_domain
    return found and f"{found[2]}.{found[1]}.serviceaccount.identity.linkerd.{domain}"


class LinkerdProxy:
    """The inbound side of one pod's proxy."""

    def __init__(
        self, objects: Iterable[Mapping[str, Any]], namespace: str, labels: Mapping[str, str],
        ports: Mapping[str, int],
    ) -> None:  # fmt: skip
        mine = [one for one in objects if one["metadata"].get("namespace") == namespace]
        self._ports = ports
        self._servers = [one for one in _of(mine, "Server") if _selected(one, labels)]
        self.routes = _of(mine, "HTTPRoute")
        self._allow = _of(mine, "AuthorizationPolicy")
        self._callers = {one["metadata"]["name"]: one for one in _of(mine, "MeshTLSAuthentication")}

    def allows(self, asked: Arriving, order: Sequence[int]) -> bool:
        """Return the answer where routes are tried in `order`, of their indices."""
        server = next((s for s in self._servers if self._port(s) == asked.port), None)
        if server is None:
            return False  # the namespace's default-inbound-policy: deny
        assert server["spec"]["accessPolicy"] == "deny"
        name = server["metadata"]["name"]
        if not asked.is_http:
            return self._authorized(("Server", name), asked)
        attached = [
            route
            for route in (self.routes[index] for index in order)
            if route["spec"]["parentRefs"][0]["name"] == name
        ]
        best: tuple[Rank, Mapping[str, Any]] | None = None
        for route in attached:
            rank = _rank(route["spec"]["rules"], asked)
            if rank is not None and (best is None or rank > best[0]):
                best = rank, route
        if best is None:
            return self._authorized(("Server", name), asked) if not attached else False
        return self._authorized(("HTTPRoute", best[1]["metadata"]["name"]), asked)

    def _port(self, server: Mapping[str, Any]) -> int:
        port = server["spec"]["port"]
        return port if isinstance(port, int) else self._ports[port]

    def _authorized(self, target: tuple[str, str], asked: Arriving) -> bool:
        return any(
            all(self._is_caller(one, asked) for one in policy["spec"]["requiredAuthenticationRefs"])
            for policy in self._allow
            if (policy["spec"]["targetRef"]["kind"], policy["spec"]["targetRef"]["name"]) == target
        )

    def _is_caller(self, reference: Mapping[str, Any], asked: Arriving) -> bool:
        assert reference["kind"] == "MeshTLSAuthentication"
        return identity_of(asked) in self._callers[reference["name"]]["spec"]["identities"]


def _of(objects: Iterable[Mapping[str, Any]], kind: str) -> list[Mapping[str, Any]]:
    return [one for one in objects if one["kind"] == kind]


def _selected(server: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    wanted = server["spec"]["podSelector"]["matchLabels"]
    return all(labels.get(key) == value for key, value in wanted.items())


def _rank(rules: Iterable[Mapping[str, Any]], asked: Arriving) -> Rank | None:
    ranks = [_match(match, asked) for rule in rules for match in rule["matches"]]
    return max((rank for rank in ranks if rank is not None), default=None)


def _match(match: Mapping[str, Any], asked: Arriving) -> Rank | None:
    if "method" in match and match["method"] != asked.method:
        return None
    path, wanted, kind = asked.path.partition("?")[0], match["path"]["value"], match["path"]["type"]
    if kind == "Exact":
        length = len(path) if path == wanted else None
    elif kind == "RegularExpression":
        length = len(path) if re.fullmatch(wanted, path) else None
    else:
        assert wanted == "/"
        length = 1
    return None if length is None else (length, "method" in match)
