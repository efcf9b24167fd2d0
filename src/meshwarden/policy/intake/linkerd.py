"""Linkerd's objects into a draft.

Linkerd lets one route decide, an access policy the union of all rules: where the union allows more
than the route that Linkerd would choose, that is noted.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from meshwarden.kernel import SpiffeId
from meshwarden.policy.gate.model import Subject
from meshwarden.policy.intake.draft import Draft
from meshwarden.policy.intake.linkerd_callers import Callers
from meshwarden.policy.intake.linkerd_paths import path_patterns
from meshwarden.policy.intake.part import Part, spec_of
from meshwarden.policy.intake.paths import NotAPattern, tidy
from meshwarden.policy.intake.workloads import Workload
from meshwarden.policy.model import Rule
from meshwarden.policy.path import PathPattern
from meshwarden.policy.targets.linkerd.routes import routes_of

GROUP: Final = "policy.linkerd.io"


def read_linkerd(subjects: Iterable[Subject], draft: Draft) -> None:
    """Read the policy of Linkerd."""
    objects: dict[tuple[str, str, str], Subject] = {}
    for subject in subjects:
        if subject.group == GROUP:
            objects[subject.kind, subject.namespace, subject.name] = subject
    _Reader(objects, draft).read()


@dataclass(slots=True)
class _Reader:
    objects: dict[tuple[str, str, str], Subject]
    draft: Draft
    granted: dict[tuple[SpiffeId, str | None, PathPattern | None], set[SpiffeId]] = field(
        default_factory=dict
    )

    def read(self) -> None:
        self.draft.objects += len(self.objects)
        for (kind, _, _), subject in self.objects.items():
            if kind == "Server":
                self._server(subject)
        for (kind, _, _), subject in self.objects.items():
            if kind == "AuthorizationPolicy":
                self._policy(subject)
            elif kind not in {"Server", "HTTPRoute", "MeshTLSAuthentication"}:
                self.draft.leave_out(spec_of(subject), f"a {kind} has no place here")
        self._compare()

    def _server(self, subject: Subject) -> None:
        for callee in self._pods(subject):
            self.draft.callee(callee.identity)
        access = spec_of(subject).at("accessPolicy")
        if access.text() not in {"", "deny"}:
            what = f"accessPolicy {access.text()[:40]} lets callers in that no rule names: left out"
            self.draft.leave_out(access, what)

    def _pods(self, server: Subject) -> list[Workload]:
        spec = spec_of(server)
        if spec.at("podSelector").names() - {"matchLabels"} or not spec.has("podSelector"):
            self.draft.leave_out(spec, "selects pods by more than labels: left out")
            return []
        labels = spec.at("podSelector", "matchLabels")
        return self.draft.workloads.selected(server.namespace or "default", labels)

    def _policy(self, subject: Subject) -> None:
        spec = spec_of(subject)
        target = spec.at("targetRef")
        key = (target.at("kind").text(), subject.namespace, target.at("name").text())
        found = self.objects.get(key)
        if found is None:
            self.draft.leave_out(
                target, f"{key[0][:40]} {key[2][:80]} is not in the input: left out"
            )
            return
        sources = tuple(Callers(self.objects, self.draft).of(spec))
        if not sources:
            return
        if key[0] == "Server":
            if self._has_routes(found):
                what = "requests that no route of this Server matches are refused by Linkerd"
                self.draft.leave_out(target, what, wider=True)
            self._whole_server(found, sources)
        elif key[0] == "HTTPRoute":
            self._route(found, sources)

    def _has_routes(self, server: Subject) -> bool:
        return any(
            parent.at("name").text() == server.name
            for (kind, space, _), route in self.objects.items()
            if (kind, space) == ("HTTPRoute", server.namespace)
            for parent in spec_of(route).at("parentRefs").each()
        )

    def _whole_server(self, server: Subject, sources: tuple[SpiffeId, ...]) -> None:
        spec = spec_of(server)
        port, protocol = spec.at("port").value, spec.at("proxyProtocol").text()
        if protocol in {"opaque", "TLS"}:
            if not isinstance(port, int) or isinstance(port, bool) or not 1 <= port <= 65535:
                what = "connections to a port that has a name only: left out"
                self.draft.leave_out(spec.at("port"), what)
                return
            self.draft.add(self._pods(server), Rule(name="", sources=sources, tcp=port))
            return
        if protocol in {"", "unknown"}:
            what = "also lets connections through that are no HTTP: left out"
            self.draft.leave_out(spec.at("proxyProtocol"), what)
        self.draft.add(self._pods(server), Rule(name="", sources=sources))

    def _route(self, route: Subject, sources: tuple[SpiffeId, ...]) -> None:
        spec = spec_of(route)
        callees = [one for parent in spec.at("parentRefs").each() for one in self._parent(parent)]
        by_method: dict[str | None, dict[PathPattern, None] | None] = {}
        for part in spec.at("rules").each():
            matches = list(part.at("matches").each())
            if not matches:
                self.draft.leave_out(part, "matches everything by default: write it out; left out")
            for match in matches:
                self._match(match, by_method)
        for method, patterns in by_method.items():
            methods = None if method is None else frozenset({method})
            paths = None if patterns is None else tidy(patterns)
            for callee in callees:
                for pattern in paths if paths is not None else (None,):
                    key = (callee.identity, method, pattern)
                    self.granted.setdefault(key, set()).update(sources)
            self.draft.add(callees, Rule(name="", sources=sources, methods=methods, paths=paths))

    def _parent(self, parent: Part) -> list[Workload]:
        key = (parent.at("kind").text(), parent.subject.namespace, parent.at("name").text())
        server = self.objects.get(key)
        if key[0] != "Server" or server is None:
            self.draft.leave_out(
                parent, f"{key[0][:40]} {key[2][:80]} is not in the input: left out"
            )
            return []
        return self._pods(server)

    def _match(self, match: Part, found: dict[str | None, dict[PathPattern, None] | None]) -> None:
        if unknown := match.names() - {"path", "method"}:
            self.draft.leave_out(match, f"{', '.join(sorted(unknown))} has no place here: left out")
            return
        method = match.at("method").text() or None
        if method is None and match.has("method"):
            self.draft.leave_out(match.at("method"), "is no method: left out")
            return
        try:
            patterns = path_patterns(match.at("path"))
        except NotAPattern as error:
            self.draft.leave_out(match.at("path"), f"{error}: left out")
            return
        have = found.setdefault(method, {})
        if patterns is None:
            found[method] = None
        elif have is not None:
            have.update(dict.fromkeys(patterns))

    def _compare(self) -> None:
        """Note routes at which the union of the rules allows callers that the route does not."""
        for callee, rules in self.draft.rules.items():
            for route in routes_of(rule for rule in rules if rule.tcp is None):
                given = self.granted.get((callee, route.method, route.pattern))
                if given is not None and route.callers - given:
                    self._note(callee, route.pattern, sorted(map(str, route.callers - given)))

    def _note(self, callee: SpiffeId, pattern: PathPattern | None, more: list[str]) -> None:
        subject = next(s for (kind, _, _), s in self.objects.items() if kind == "HTTPRoute")
        path = pattern.text if pattern else "any path"
        what = (
            f"Linkerd lets the route of {path} at {callee} alone decide; the text also allows it to"
            f" {', '.join(more[:3])}, by a wider route"
        )
        self.draft.leave_out(spec_of(subject), what, wider=True)
