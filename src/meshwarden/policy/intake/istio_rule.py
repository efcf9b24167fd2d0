"""One rule of an AuthorizationPolicy as rules of an access policy.

A key that is not known here (`notPaths`, `hosts`, `ipBlocks`, ...) narrows the rule in a way that
has no place in an access policy, so the rule is left out as a whole: never widened in silence.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from meshwarden.kernel import InputError, SpiffeId
from meshwarden.policy.intake.draft import Draft
from meshwarden.policy.intake.part import Part
from meshwarden.policy.intake.paths import NotAPattern, istio_patterns, tidy
from meshwarden.policy.model import Rule, TokenRequirement, is_method
from meshwarden.policy.path import PathPattern

_CLAIM: Final = re.compile(r"request\.auth\.claims\[(\w+)\]")
_CLAIMS: Final = frozenset({"iss", "scope", "acr", "req_wl"})


@dataclass(slots=True)
class RuleReader:
    """Reads one rule; what it cannot represent goes to the draft."""

    rule: Part
    draft: Draft

    def read(self) -> Iterator[Rule]:
        """Yield what the rule allows, one for each operation."""
        sources = self._sources()
        token = self._token(sources)
        if not sources or isinstance(token, str):
            if isinstance(token, str):
                self.draft.leave_out(self.rule.at("when"), token)
            return
        if unknown := self.rule.names() - {"from", "to", "when"}:
            self.draft.leave_out(self.rule, f"{', '.join(sorted(unknown))} is not known: left out")
            return
        operations = [one.at("operation") for one in self.rule.at("to").each()]
        if not self.rule.has("to"):
            operations = [Part(self.rule.subject, {}, self.rule.path)]
        elif not operations or not all(one.names() for one in operations):
            self.draft.leave_out(self.rule.at("to"), "lists no operation: left out")
            return
        for operation in operations:
            yield from self._rules(operation, sources, token)

    def _sources(self) -> tuple[SpiffeId, ...]:
        found: dict[SpiffeId, None] = {}
        if not list(self.rule.at("from").each()):
            self.draft.leave_out(self.rule, "names no caller, so allows anyone: left out")
        for one in self.rule.at("from").each():
            source = one.at("source")
            if not source.names() or not source.names() <= {"principals", "serviceAccounts"}:
                keys = ", ".join(sorted(source.names() - {"principals"})) or "nothing"
                self.draft.leave_out(source, f"tells callers by {keys}, not by identity: left out")
                continue
            for entry in (*source.at("principals").each(), *source.at("serviceAccounts").each()):
                identity = self._identity(entry)
                if identity is None:
                    self.draft.leave_out(
                        entry, f"{entry.text()[:80]!r} is not one identity: left out"
                    )
                else:
                    found[identity] = None
        return tuple(found)

    def _identity(self, entry: Part) -> SpiffeId | None:
        text = entry.text()
        if "serviceAccounts" in entry.path:
            space, slash, account = text.rpartition("/")
            space = space if slash else self.rule.subject.namespace or "default"
            text = f"{self.draft.workloads.trust_domain}/ns/{space}/sa/{account}"
        try:
            return SpiffeId.parse(f"spiffe://{text}")
        except InputError:
            return None

    def _token(self, sources: tuple[SpiffeId, ...]) -> TokenRequirement | str | None:
        """Return what the token must say; a text says why that cannot be represented."""
        conditions = list(self.rule.at("when").each())
        if not conditions:
            return "is not a list of conditions: left out" if self.rule.has("when") else None
        scopes: list[str] = []
        acr: str | None = None
        bound = False
        for one in conditions:
            name = _CLAIM.fullmatch(one.at("key").text())
            values = [value.text() for value in one.at("values").each()]
            if name is None or name[1] not in _CLAIMS or one.names() != {"key", "values"}:
                return f"the condition on {one.at('key').text()[:80]!r} has no place here: left out"
            if len(values) != 1 or not values[0] or values[0].strip("*") != values[0]:
                return f"alternatives and patterns for {name[1]} have no place here: left out"
            if name[1] == "scope":
                scopes.append(values[0])
            elif name[1] == "acr":
                if acr is not None:
                    return "asks for two values of acr: left out"
                acr = values[0]
            elif name[1] == "req_wl":
                if [str(source) for source in sources] != values:
                    return "req_wl is not the one caller of the rule: left out"
                bound = True
        return TokenRequirement(scopes=tuple(scopes), acr=acr, bound=bound)

    def _rules(
        self, operation: Part, sources: tuple[SpiffeId, ...], token: TokenRequirement | None
    ) -> Iterator[Rule]:
        given = operation.names()
        if unknown := given - {"methods", "paths", "ports"}:
            what = f"{', '.join(sorted(unknown))} has no place here: left out"
            self.draft.leave_out(operation, what)
            return
        if given == {"ports"} and token is None:
            yield from self._connections(operation, sources)
            return
        if "ports" in given:
            what = "an access policy knows no port of requests: the text takes them on any"
            self.draft.leave_out(operation.at("ports"), what, wider=True)
        methods, paths = self._methods(operation), self._paths(operation)
        if methods == frozenset() or paths == ():
            return
        yield Rule(name="", sources=sources, methods=methods, paths=paths, token=token)

    def _connections(self, operation: Part, sources: tuple[SpiffeId, ...]) -> Iterator[Rule]:
        for entry in operation.at("ports").each():
            text = str(entry.value)
            if text.isascii() and text.isdigit() and len(text) <= 5 and 1 <= int(text) <= 65535:
                yield Rule(name="", sources=sources, tcp=int(text))
            else:
                self.draft.leave_out(entry, "is no port: left out")

    def _methods(self, operation: Part) -> frozenset[str] | None:
        if not operation.has("methods"):
            return None
        found = set()
        for entry in operation.at("methods").each():
            if entry.text() == "*":
                return None
            if is_method(entry.text()) and not {"*"} & set(entry.text()):
                found.add(entry.text())
            else:
                self.draft.leave_out(entry, f"{entry.text()[:80]!r} is no method: left out")
        return frozenset(found)

    def _paths(self, operation: Part) -> tuple[PathPattern, ...] | None:
        if not operation.has("paths"):
            return None
        found: dict[PathPattern, None] = {}
        for entry in operation.at("paths").each():
            try:
                patterns = istio_patterns(entry.text())
            except NotAPattern as error:
                self.draft.leave_out(entry, f"{entry.text()[:80]!r} {error}: left out")
                continue
            if patterns is None:
                return None
            found |= dict.fromkeys(patterns)
        return tidy(found)
